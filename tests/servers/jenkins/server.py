"""A stand-in for Jenkins, as strict as the original in what it is sent.

Written from the sources of Jenkins core, Stapler, and the plugins Folders and "Pipeline: REST API":
signing in by API token or password, crumbs that hang on a session, folders, ``tree=``, parameters, the
queue, builds, their console and stages, and rights for each permission.  Who started what stands in the
causes of each build, as there; `Jenkins.log` is the access log, with the user's name in it.

Where those leave it open it refuses rather than takes: an encoded slash in a path, say.
"""

import base64
import binascii
import hashlib
import json
import re
import secrets
import time
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from servers.jenkins.answers import Refusal, json_answer, login_page, oops, page, text, wants_post
from servers.jenkins.beans import Bean, api
from servers.jenkins.model import LINKS, Build, Folder, Item, Job, Stage
from servers.jenkins.model import Parameter as Parameter
from servers.jenkins.shown import Shown, whoami
from servers.standin import PEOPLE, StandIn

READ = "hudson.model.Item.Read"
DISCOVER = "hudson.model.Item.Discover"
BUILD = "hudson.model.Item.Build"
CANCEL = "hudson.model.Item.Cancel"

VERSION = "2.579"
_NO_CRUMB = "No valid crumb was included in the request"
_STAGE_LOG = 10 * 1024
"""Bytes of a stage's log that are shown: the last ones."""


class Jenkins(StandIn):
    r"""A Jenkins at a context path, with people, jobs and folders in it.

    ```python
    async with Jenkins("/ci") as jenkins:
        jenkins.job("deploy", pipeline=True)
        ...  # somebody starts it
        build = jenkins.start("deploy")
        jenkins.finish(build, "FAILURE", "no such host\n")
    ```
    """

    def __init__(self, context: str = "") -> None:
        super().__init__()
        self.context = context
        self.root = Folder("")
        self.shown = Shown(self)
        self.items: list[Item] = []
        self.log: list[str] = []
        """The access log: address, user, request, status."""

        self.stages_plugin = True
        self.crumbs = True
        self.quiet = False
        """Whether it prepares to shut down, and takes nothing into the queue."""

        self._tokens: dict[str, dict[str, str]] = {login: {} for login in PEOPLE}
        """By user: API tokens, by their uuid."""

        self._denied: set[tuple[str, str, str]] = set()
        self._sessions: dict[str, str] = {}
        self._cookie = f"JSESSIONID.{secrets.token_hex(4)}"
        self._salt = secrets.token_hex(8)
        self._session = secrets.token_hex(4)

    @property
    def url(self) -> str:
        """Its address, as an operator writes it."""
        return self.origin + self.context

    def routes(self) -> Iterable[web.RouteDef]:
        """Return none: Jenkins finds its objects by walking the path."""
        return ()

    # -- what a test sets up -------------------------------------------------------------

    def key(self, login: str) -> str:
        """Return ``user:apitoken`` of *login*, of a new API token."""
        return f"{login}:{self._new_token(login)[1]}"

    def revoke_tokens(self, login: str) -> None:
        """Take all API tokens of *login* back."""
        self._tokens[login].clear()

    def deny(self, login: str, permission: str, name: str) -> None:
        """Take *permission* on the item called *name* away from *login*."""
        self._denied.add((login, permission, name))

    def folder(self, name: str) -> Folder:
        """Return the folder of that full name; it is made if there is none."""
        found = self.root
        for part in filter(None, name.split("/")):
            child = found.inside.setdefault(part, Folder(part, found))
            assert isinstance(child, Folder), f"{part} is a job"
            found = child
        return found

    def job(
        self,
        name: str,
        *parameters: Parameter,
        pipeline: bool = False,
        description: str | None = None,
        disabled: bool = False,
        under: str = "",
    ) -> Job:
        """Make a job called *name* in the folder *under*."""
        folder = self.folder(under)
        made = Job(name, folder, pipeline, parameters, description, disabled)
        folder.inside[name] = made
        return made

    def start(self, job: Job, log: str = "") -> Build:
        """Let an executor take what waits longest for *job*; started by nobody, if nothing waits."""
        waiting = self.waiting(job)
        item = waiting[0] if waiting else self._enqueued(job, [], {})
        build = Build(job, len(job.builds) + 1, item, time.time())
        build.log = "".join(f"Started by user {one.title()}\n" for one in item.users).encode() + log.encode()
        item.build = build
        job.builds.append(build)
        return build

    def stage(self, build: Build, name: str, status: str = "SUCCESS", log: str = "") -> Stage:
        """Add a stage to *build*; *log* is HTML, as the page shows it."""
        made = Stage(name, 10 * len(build.stages) + 6, status, log)
        build.stages.append(made)
        return made

    def finish(self, build: Build, result: str = "SUCCESS", log: str = "", seconds: float = 65.0) -> None:
        """End *build* with *result*, after *seconds*."""
        build.log += log.encode() + f"Finished: {result}\n".encode()
        build.result, build.building, build.duration = result, False, seconds

    @property
    def record(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Who started what, and with which parameters: as the causes of its builds and queue items tell."""
        return [(user, one.job.full_name, one.values) for one in self.items for user in one.users]

    # -- every request -------------------------------------------------------------------

    async def unknown(self, request: web.Request) -> web.StreamResponse:
        """Answer *request*, whatever it is."""
        user = ""
        try:
            path = request.rel_url.raw_path
            if "%2f" in path.lower():
                raise Refusal(page(400, "Bad Message", "Ambiguous URI path separator"))
            if not path.startswith(self.context + "/"):
                raise Refusal(page(404, "Not Found", ""))
            user, exempt = self._who(request)
            if request.method == "POST" and self.crumbs and not exempt:
                await self._check_crumb(request, user)
            parts = [unquote(part) for part in path.removeprefix(self.context).strip("/").split("/")]
            answer = await self._at(request, user, parts)
        except Refusal as refusal:
            answer = refusal.answer
        answer.headers["X-Jenkins"] = VERSION
        answer.headers["X-Jenkins-Session"] = self._session
        answer.headers["X-Content-Type-Options"] = "nosniff"
        line = f'"{request.method} {request.rel_url.raw_path} HTTP/1.1" {answer.status}'
        self.log.append(f"127.0.0.1 - {user or '-'} {line}")
        return answer

    def _who(self, request: web.Request) -> tuple[str, bool]:
        """Return who asks, empty for anonymous, and whether that is proven by an API token."""
        scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return self._sessions.get(request.cookies.get(self._cookie, ""), ""), False
        try:
            user, _, secret = base64.b64decode(credential, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            user = secret = ""
        if user in self._tokens:
            if any(secrets.compare_digest(one, secret) for one in self._tokens[user].values()):
                return user, True
            if secret == f"pw-{user}":
                return user, False
        challenge = {"WWW-Authenticate": 'Basic realm="Jenkins"'}
        raise Refusal(web.Response(status=401, text="Unauthorized", headers=challenge))

    async def _check_crumb(self, request: web.Request, user: str) -> None:
        session = request.cookies.get(self._cookie, "")
        said = request.headers.get("Jenkins-Crumb") or (await request.post()).get("Jenkins-Crumb", "")
        if session not in self._sessions or said != self._crumb(user, session):
            raise Refusal(page(403, "Error 403", f"HTTP ERROR 403 {_NO_CRUMB}"))

    def _crumb(self, user: str, session: str) -> str:
        return hashlib.sha256(f"{user};{session}{self._salt}".encode()).hexdigest()

    async def _at(self, request: web.Request, user: str, parts: list[str]) -> web.Response:
        """Walk to what *parts* name."""
        if parts == ["whoAmI", "api", "json"]:
            return api(request, whoami(user))
        if not user:
            raise Refusal(login_page(request))
        match parts:
            case ["api", "json"]:
                return api(request, self.shown.root(user, self.root))
            case ["me", "api", "json"]:
                return api(request, self._user_bean(user))
            case ["crumbIssuer", "api", "json"] if self.crumbs:
                return self._issue(request, user)
            case ["crumbIssuer", "api", "xml"] if self.crumbs and "xpath" in request.query:
                raise Refusal(page(403, "Forbidden", "primitive XPath result sets forbidden"))
            case ["user", login, "descriptorByName", "jenkins.security.ApiTokenProperty", verb] if login == user:
                return await self._token_page(request, user, verb)
            case ["queue", *rest]:
                return self._queue(request, user, rest)
            case ["job", *_]:
                return await self._in_folder(request, user, parts)
        raise Refusal(page(404, "Not Found", ""))

    def _issue(self, request: web.Request, user: str) -> web.Response:
        session = request.cookies.get(self._cookie, "")
        known = self._sessions.get(session) == user
        if not known:
            session = f"node0{secrets.token_hex(12)}"
            self._sessions[session] = user
        kind = "hudson.security.csrf.DefaultCrumbIssuer"
        crumb = {"crumb": self._crumb(user, session), "crumbRequestField": "Jenkins-Crumb"}
        answer = api(request, Bean(kind, crumb))
        if not known:
            answer.set_cookie(self._cookie, session, path=self.context or "/", httponly=True)
        return answer

    # -- people --------------------------------------------------------------------------

    def _new_token(self, login: str) -> tuple[str, str]:
        uuid, value = secrets.token_hex(16), "11" + secrets.token_hex(16)
        self._tokens[login][uuid] = value
        return uuid, value

    async def _token_page(self, request: web.Request, user: str, verb: str) -> web.Response:
        if request.method != "POST":
            raise Refusal(wants_post())
        if verb == "generateNewToken":
            uuid, value = self._new_token(user)
            name = str((await request.post()).get("newTokenName", ""))
            return json_answer({"status": "ok", "data": {"tokenUuid": uuid, "tokenName": name, "tokenValue": value}})
        uuid = request.query.get("tokenUuid", "")
        if verb != "revoke" or not uuid:
            raise Refusal(page(400 if verb == "revoke" else 404, "Bad Request", ""))
        self._tokens[user].pop(uuid, None)
        return web.Response()

    def _user_bean(self, user: str) -> Bean:
        mail = Bean("hudson.tasks.Mailer$UserProperty", {"address": f"{user}@example.org"})
        said = {
            "absoluteUrl": f"{self.url}/user/{user}",
            "description": None,
            "fullName": f"{user.title()} Test",
            "id": user,
            "property": [Bean("jenkins.security.ApiTokenProperty", {}), mail],
        }
        return Bean("hudson.model.User", said)

    def sees(self, user: str, node: Folder | Job) -> bool:
        """Whether *user* may read *node*."""
        return self._may(user, READ, node)

    def waiting(self, job: Job | None = None) -> list[Item]:
        """Return what waits in the queue, for *job* alone where one is named."""
        left = [one for one in self.items if one.build is None and not one.cancelled]
        return [one for one in left if job in (None, one.job)]

    def _may(self, user: str, permission: str, node: Folder | Job) -> bool:
        return (user, permission, node.full_name) not in self._denied

    def _check(self, user: str, permission: str, node: Folder | Job) -> None:
        if not self._may(user, permission, node):
            more = {
                "X-You-Are-Authenticated-As": user,
                "X-Required-Permission": permission,
                "X-Permission-Implied-By": "hudson.model.Hudson.Administer",
                "X-You-Are-In-Group-Disabled": "JENKINS-39402",
                "X-Hudson": "1.395",
            }
            raise Refusal(page(403, "Access Denied", f"{user} is missing the {permission} permission", more))

    # -- folders and jobs ----------------------------------------------------------------

    async def _in_folder(self, request: web.Request, user: str, parts: list[str]) -> web.Response:
        node: Folder | Job = self.root
        while isinstance(node, Folder) and len(parts) > 1 and parts[0] == "job":
            found = node.inside.get(parts[1])
            if found is None:
                raise Refusal(page(404, "Not Found", ""))
            node, parts = found, parts[2:]
            if not self.sees(user, node):
                if not self._may(user, DISCOVER, node):
                    raise Refusal(page(404, "Not Found", ""))
                self._check(user, READ, node)
        if isinstance(node, Job):
            return await self._job(request, user, node, parts)
        if parts == ["api", "json"]:
            return api(request, self.shown.folder(user, node))
        raise Refusal(page(404, "Not Found", ""))

    async def _job(self, request: web.Request, user: str, job: Job, parts: list[str]) -> web.Response:
        match parts:
            case ["api", "json"]:
                return api(request, self.shown.job(job))
            case ["build"]:
                return await self._build(request, user, job)
            case ["buildWithParameters"]:
                return await self._build_with_parameters(request, user, job)
            case ["wfapi"] | ["wfapi", "describe"] if self._has_stages(job):
                return json_answer({"_links": {}, "name": job.name, "runCount": len(job.builds)})
            case ["wfapi", "runs"] if self._has_stages(job):
                return json_answer([self._run(one) for one in reversed(job.builds)])
            case [which, *rest]:
                return self._in_build(request, user, _found(job, which), rest)
        return page(200, job.name, "")

    def _has_stages(self, job: Job) -> bool:
        return self.stages_plugin and job.pipeline

    async def _build(self, request: web.Request, user: str, job: Job) -> web.Response:
        await self._check_start(request, user, job)
        values: dict[str, Any] = {}
        if job.parameters:
            form = await request.post()
            if "json" not in form:
                what = "This page expects a form submission" if form else "Nothing is submitted"
                raise Refusal(page(400, "Error", what))
            listed = json.loads(str(form["json"])).get("parameter", [])
            said = {one["name"]: str(one["value"]) for one in ([listed] if isinstance(listed, dict) else listed)}
            if unknown := said.keys() - {one.name for one in job.parameters}:
                raise Refusal(oops(f"No such parameter definition: {min(unknown)}"))
            values = _values(job, said)
        return self._scheduled(user, job, values, 201)

    async def _build_with_parameters(self, request: web.Request, user: str, job: Job) -> web.Response:
        await self._check_start(request, user, job)
        if not job.parameters:
            raise Refusal(page(400, "Error", f"{job.name} is not parameterized"))
        said = list(request.query.items()) + [(name, str(value)) for name, value in (await request.post()).items()]
        known = {one.name for one in job.parameters}
        given = [(name, value) for name, value in said if name in known]
        if len(dict(given)) < len(given):
            raise Refusal(oops("Illegal number of parameter values"))
        return self._scheduled(user, job, _values(job, dict(given)), 303)

    async def _check_start(self, request: web.Request, user: str, job: Job) -> None:
        if job.disabled:
            raise Refusal(page(409, "Error", f"{job.full_name} is not buildable"))
        by_token = "token" in request.query
        if request.method != "POST" and (job.parameters or not by_token):
            raise Refusal(wants_post())
        if by_token and request.query["token"] != job.token:
            raise Refusal(page(403, "Forbidden", "Invalid token provided."))
        self._check(user, BUILD, job)

    def _scheduled(self, user: str, job: Job, values: dict[str, Any], merged: int) -> web.Response:
        """Put it into the queue; where an equal one waits, that has one cause more and the status is *merged*."""
        if self.quiet:
            return web.Response(status=302, headers={"Location": "."})
        for item in self.waiting(job):
            if item.values == values:
                item.users.append(user)
                return web.Response(status=merged, headers={"Location": f"{self.url}/queue/item/{item.id}/"})
        item = self._enqueued(job, [user], values)
        return web.Response(status=201, headers={"Location": f"{self.url}/queue/item/{item.id}/"})

    def _enqueued(self, job: Job, users: list[str], values: dict[str, Any]) -> Item:
        item = Item(len(self.items) + 17, job, users, values, time.time())
        self.items.append(item)
        return item

    # -- the queue -----------------------------------------------------------------------

    def _queue(self, request: web.Request, user: str, parts: list[str]) -> web.Response:
        match parts:
            case ["api", "json"]:
                shown = [self.shown.item(one) for one in self.waiting() if self.sees(user, one.job)]
                return api(request, Bean("hudson.model.Queue", {"discoverableItems": [], "items": shown}))
            case ["cancelItem"]:
                if request.method != "POST":
                    raise Refusal(wants_post())
                return self._cancel(user, request.query.get("id", ""))
            case ["item", number, "cancelQueue"] if request.method == "POST":
                return self._cancel(user, number)
            case ["item", number, *rest]:
                item = self._item(user, number)
                if rest == ["api", "json"]:
                    return api(request, self.shown.item(item))
                return web.Response(text="Queue item exists. For details check, for example, the API.")
        raise Refusal(page(404, "Not Found", ""))

    def _item(self, user: str, number: str) -> Item:
        for one in self.items:
            if str(one.id) == number and not one.forgotten and self.sees(user, one.job):
                return one
        raise Refusal(page(404, "Not Found", ""))

    def _cancel(self, user: str, number: str) -> web.Response:
        waiting = [one for one in self.waiting() if str(one.id) == number]
        if not waiting:
            raise Refusal(web.Response(status=404, text=f"Provided id ({number}) not found"))
        if not self._may(user, CANCEL, waiting[0].job):
            raise Refusal(web.Response(status=422, text=f"Item for id ({number}) is not cancellable"))
        waiting[0].cancelled = True
        return web.Response(status=204)

    # -- a build -------------------------------------------------------------------------

    def _in_build(self, request: web.Request, user: str, build: Build, parts: list[str]) -> web.Response:
        match parts:
            case ["api", "json"]:
                return api(request, self.shown.build(build))
            case ["buildNumber"]:
                return text(str(build.number).encode())
            case ["consoleText"]:
                return text(build.log)
            case ["logText", "progressiveText"]:
                return _progressive(request, build)
            case ["stop"] | ["term"] | ["kill"]:
                return self._stop(request, user, build)
            case ["wfapi"] | ["wfapi", "describe"] if self._has_stages(build.job):
                return json_answer(self._run(build))
            case ["execution", "node", node, "wfapi", what] if self._has_stages(build.job):
                return self._node(build, node, what)
        raise Refusal(page(404, "Not Found", ""))

    def _stop(self, request: web.Request, user: str, build: Build) -> web.Response:
        if request.method != "POST":
            raise Refusal(wants_post())
        self._check(user, CANCEL, build.job)
        if build.building:
            for stage in build.stages:
                stage.status = "ABORTED" if stage.status == "IN_PROGRESS" else stage.status
            self.finish(build, "ABORTED", f"Aborted by {user}\n")
        return web.Response(status=302, headers={"Location": request.headers.get("Referer", ".")})

    def _run(self, build: Build) -> dict[str, Any]:
        status = {"SUCCESS": "SUCCESS", "UNSTABLE": "UNSTABLE", "ABORTED": "ABORTED", None: "IN_PROGRESS"}
        return {
            "_links": {"self": {"href": f"{self.shown.path(build)}wfapi/describe"}},
            "id": str(build.number),
            "name": f"#{build.number}",
            "status": status.get(build.result, "FAILED"),
            "startTimeMillis": int(build.timestamp * 1000),
            "endTimeMillis": int((build.timestamp + build.duration) * 1000),
            "durationMillis": int(build.duration * 1000),
            "queueDurationMillis": 5,
            "pauseDurationMillis": 0,
            "stages": [self._stage(build, one, one.node) for one in build.stages],
        }

    def _stage(self, build: Build, stage: Stage, node: int) -> dict[str, Any]:
        said = {
            "_links": {"self": {"href": f"{self.shown.path(build)}execution/node/{node}/wfapi/describe"}},
            "id": str(node),
            "name": stage.name if node == stage.node else "Shell Script",
            "execNode": "",
            "status": stage.status,
            "startTimeMillis": int(build.timestamp * 1000),
            "durationMillis": 1000,
            "pauseDurationMillis": 0,
        }
        if stage.status == "FAILED":
            said["error"] = {"message": "script returned exit code 1", "type": "hudson.AbortException"}
        return said

    def _node(self, build: Build, number: str, what: str) -> web.Response:
        """Answer to a stage, or to the one step in it, whose id is the next."""
        for stage in build.stages:
            if str(stage.node) == number and what == "describe":
                step = {**self._stage(build, stage, stage.node + 1), "parentNodes": [str(stage.node)]}
                return json_answer({**self._stage(build, stage, stage.node), "stageFlowNodes": [step]})
            if str(stage.node + 1) == number and what == "describe":
                return json_answer({**self._stage(build, stage, stage.node + 1), "parentNodes": [str(stage.node)]})
            if number in (str(stage.node), str(stage.node + 1)) and what == "log":
                log = stage.log if number == str(stage.node + 1) else ""  # a stage itself says nothing
                said = {"nodeId": number, "nodeStatus": stage.status, "length": min(len(log), _STAGE_LOG)}
                seen = {"text": log[-_STAGE_LOG:], "consoleUrl": f"{self.shown.path(build)}log"} if log else {}
                return json_answer({**said, "hasMore": len(log) > _STAGE_LOG, **seen})
        raise Refusal(page(404, "Not Found", ""))


def _found(job: Job, which: str) -> Build:
    """Return the build of *job* that *which* names: a number or a permalink."""
    fits = LINKS.get(which)
    for one in reversed(job.builds):
        if fits(one) if fits is not None else str(one.number) == which:
            return one
    raise Refusal(page(404, "Not Found", ""))


def _values(job: Job, said: Mapping[str, str]) -> dict[str, Any]:
    return {one.name: one.taken(said[one.name]) if one.name in said else one.given for one in job.parameters}


def _progressive(request: web.Request, build: Build) -> web.Response:
    said = request.query.get("start", "0")
    if not re.fullmatch(r"-?\d+", said):
        raise Refusal(oops("For input string"))
    start = int(said) if int(said) <= len(build.log) else 0
    answer = text(build.log[start:].replace(b"\n", b"\r\n"))
    answer.headers["X-Text-Size"] = str(len(build.log))
    if build.building:
        answer.headers["X-More-Data"] = "true"
    return answer
