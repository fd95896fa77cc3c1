"""What the stand-in for Jenkins shows of its objects on their ``/api/json`` pages."""

from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import unquote

from servers.jenkins.beans import Bean
from servers.jenkins.model import LINKS, Build, Folder, Item, Job

_WORKFLOW = "org.jenkinsci.plugins.workflow.job.Workflow"


class Server(Protocol):
    """The server whose objects they are."""

    context: str
    quiet: bool
    crumbs: bool

    @property
    def origin(self) -> str:
        """Its address without the context path."""
        ...

    def sees(self, user: str, node: Folder | Job) -> bool:
        """Whether *user* may read *node*."""
        ...

    def waiting(self, job: Job | None = None) -> list[Item]:
        """Return what waits in the queue, for *job* alone where one is named."""
        ...


class Shown:
    """Makes the beans of a server's objects."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def path(self, node: Folder | Job | Build) -> str:
        """Return the path of *node* from the host's root on."""
        if isinstance(node, Build):
            return f"{self.path(node.job)}{node.number}/"
        if node.parent is None:
            return f"{self._server.context}/"
        return f"{self.path(node.parent)}job/{_quoted(node.name)}/"

    def url(self, node: Folder | Job | Build) -> str:
        """Return the whole address of *node*."""
        return self._server.origin + self.path(node)

    def _shown(self, user: str, folder: Folder) -> list[Bean]:
        seen = [one for one in folder.inside.values() if self._server.sees(user, one)]
        return [self.folder(user, one) if isinstance(one, Folder) else self.job(one) for one in seen]

    def root(self, user: str, root: Folder) -> Bean:
        """Return the page of the whole Jenkins, as *user* sees it."""
        view = Bean("hudson.model.AllView", {"name": "all", "url": self.url(root)})
        said = {
            "description": None,
            "jobs": lambda: self._shown(user, root),
            "mode": "NORMAL",
            "numExecutors": 2,
            "primaryView": view,
            "quietDownReason": None,
            "quietingDown": self._server.quiet,
            "slaveAgentPort": -1,
            "url": self.url(root),
            "useCrumbs": self._server.crumbs,
            "useSecurity": True,
            "views": [view],
        }
        return Bean("hudson.model.Hudson", said)

    def folder(self, user: str, folder: Folder) -> Bean:
        """Return a folder's page, as *user* sees it."""
        said: dict[str, Any] = {
            "actions": [],
            "description": None,
            "displayName": folder.name,
            "fullDisplayName": folder.full_name.replace("/", " » "),
            "fullName": folder.full_name,
            "name": folder.name,
            "url": self.url(folder),
            "healthReport": [],
            "jobs": lambda: self._shown(user, folder),
            "views": [],
        }
        return Bean("com.cloudbees.hudson.plugins.folder.Folder", said, ("name", "url"))

    def job(self, job: Job) -> Bean:
        """Return a job's page."""
        done = [one for one in job.builds if not one.building]
        good = sum(one.result == "SUCCESS" for one in done[-5:])
        score = 100 * good // max(1, len(done[-5:]))
        health = {"description": f"Build stability: {len(done[-5:]) - good} failed.", "score": score}
        links = {name: lambda fits=fits: self._linked(job, fits) for name, fits in LINKS.items()}
        waiting = self._server.waiting(job)
        said: dict[str, Any] = {
            "actions": [],
            "description": job.description,
            "displayName": unquote(job.name),
            "displayNameOrNull": None,
            "fullDisplayName": job.full_name.replace("/", " » "),
            "fullName": job.full_name,
            "name": job.name,
            "url": self.url(job),
            "buildable": not job.disabled,
            "allBuilds": lambda: [self.build(one) for one in reversed(job.builds)],
            "builds": lambda: [self.build(one) for one in reversed(job.builds[-100:])],
            "color": job.color,
            "firstBuild": lambda: self.build(job.builds[0]) if job.builds else None,
            "healthReport": [Bean("hudson.model.HealthReport", health)] if done else [],
            "inQueue": bool(waiting),
            "keepDependencies": False,
            **links,
            "nextBuildNumber": len(job.builds) + 1,
            "property": _property(job),
            "queueItem": lambda: self.item(waiting[0]) if waiting else None,
            "concurrentBuild": True,
            "disabled": job.disabled,
        }
        kind = f"{_WORKFLOW}Job" if job.pipeline else "hudson.model.FreeStyleProject"
        return Bean(kind, said, ("name", "url", "color"), frozenset({"allBuilds"}))

    def _linked(self, job: Job, fits: Callable[[Build], bool]) -> Bean | None:
        return next((self.build(one) for one in reversed(job.builds) if fits(one)), None)

    def build(self, build: Build) -> Bean:
        """Return a build's page."""
        said = {
            "actions": _actions(build.item),
            "artifacts": [],
            "building": build.building,
            "description": None,
            "displayName": f"#{build.number}",
            "duration": int(build.duration * 1000),
            "estimatedDuration": -1,
            "executor": Bean("hudson.model.Executor", {}) if build.building else None,
            "fullDisplayName": f"{build.job.full_name.replace('/', ' » ')} #{build.number}",
            "id": str(build.number),
            "inProgress": build.building,
            "keepLog": False,
            "number": build.number,
            "queueId": build.item.id,
            "result": build.result,
            "timestamp": int(build.timestamp * 1000),
            "url": self.url(build),
        }
        kind = f"{_WORKFLOW}Run" if build.job.pipeline else "hudson.model.FreeStyleBuild"
        return Bean(kind, said, ("number", "url"))

    def item(self, item: Item) -> Bean:
        """Return the page of an item of the queue, waiting or left."""
        task = Bean("hudson.model.FreeStyleProject", {"name": item.job.name, "url": self.url(item.job)})
        said: dict[str, Any] = {
            "actions": _actions(item),
            "blocked": False,
            "buildable": False,
            "id": item.id,
            "inQueueSince": int(item.since * 1000),
            "params": "".join(f"\n{name}={value}" for name, value in item.values.items()),
            "stuck": False,
            "task": task,
            "url": f"queue/item/{item.id}/",
            "why": "In the quiet period. Expires in 4.9 sec",
        }
        if item.build is None and not item.cancelled:
            return Bean("hudson.model.Queue$WaitingItem", {**said, "timestamp": said["inQueueSince"] + 5000})
        executable = self.build(item.build) if item.build is not None else None
        left = {"cancelled": item.cancelled, "executable": executable, "why": None}
        return Bean("hudson.model.Queue$LeftItem", {**said, **left})


def _quoted(name: str) -> str:
    return "".join(chr(one) if chr(one).isalnum() and one < 128 else f"%{one:02X}" for one in name.encode())


def _property(job: Job) -> list[Bean]:
    definitions = []
    for one in job.parameters:
        default = {"name": one.name} if one.kind == "Password" else {"name": one.name, "value": one.given}
        said = {
            "defaultParameterValue": Bean(f"hudson.model.{one.kind}ParameterValue", default),
            "description": one.description or None,
            "name": one.name,
            "type": f"{one.kind}ParameterDefinition",
            **({"choices": list(one.choices)} if one.kind == "Choice" else {}),
        }
        definitions.append(Bean(f"hudson.model.{one.kind}ParameterDefinition", said))
    kind = "hudson.model.ParametersDefinitionProperty"
    return [Bean(kind, {"parameterDefinitions": definitions})] if definitions else []


def _actions(item: Item) -> list[Bean]:
    causes = [
        Bean(
            "hudson.model.Cause$UserIdCause",
            {"shortDescription": f"Started by user {one.title()}", "userId": one, "userName": f"{one.title()} Test"},
        )
        for one in item.users
    ]
    kinds = {one.name: one.kind for one in item.job.parameters}
    values = [
        Bean(f"hudson.model.{kinds[name]}ParameterValue", {"name": name} | ({"value": value} if shown else {}))
        for name, value in item.values.items()
        for shown in [kinds[name] != "Password"]
    ]
    given = [Bean("hudson.model.ParametersAction", {"parameters": values})] if values else []
    return [Bean("hudson.model.CauseAction", {"causes": causes}), Bean("", {}), *given]


def whoami(user: str) -> Bean:
    """Return the page that tells *user* who they are; empty: anonymous."""
    said = {
        "anonymous": not user,
        "authenticated": bool(user),
        "authorities": ["authenticated"] if user else ["anonymous"],
        "name": user or "anonymous",
    }
    return Bean("hudson.security.WhoAmI", said)
