"""A stand-in for GitHub Enterprise Server, written from GitHub's documentation (https://docs.github.com/en/rest).

It is no GitHub: it is an HTTP server of this project's on 127.0.0.1 that speaks the parts of the REST API and of
the OAuth apps' flows that the bot uses, at the paths that an Enterprise Server has (``/api/v3``), and refuses what
the documentation says is refused.  github.com differs by where its API is, and by nothing that is here.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from secrets import choice, token_hex
from typing import Any, override
from urllib.parse import urlencode

from aiohttp import web

from servers.forges import (
    Answered,
    Application,
    Call,
    Comment,
    Forge,
    Grant,
    Issue,
    Problem,
    Project,
    Run,
    person_id,
    refusal,
    stamp,
)
from servers.standin import consent_page, page, signed_in

SCOPES = frozenset(
    {"repo", "public_repo", "repo:status", "repo_deployment", "repo:invite", "security_events", "read:user", "user"}
    | {"user:email", "user:follow", "notifications", "workflow", "gist", "read:org", "write:org", "admin:org"}
)
IMPLIED = {
    "repo": ("public_repo", "repo:status", "repo_deployment", "repo:invite", "security_events"),
    "user": ("read:user", "user:email", "user:follow"),
    "admin:org": ("write:org", "read:org"),
    "write:org": ("read:org",),
}
"""What a scope has in it; a token is not said to have those as well."""

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
DEVICE_LIFE = 900.0
INTERVAL = 5.0
HOURLY = 5000
DOCS = "https://docs.github.com/rest"
MERGES = ("merge", "squash", "rebase")


class Device:
    """A device's code on its way: asked for, entered by somebody, allowed or refused."""

    def __init__(self, app: Application, scopes: tuple[str, ...], until: float) -> None:
        self.app = app
        self.scopes = scopes
        self.until = until
        self.user_code = "-".join("".join(choice("BCDFGHJKLMNPQRSTVWXZ") for _ in range(4)) for _ in range(2))
        self.login = ""
        self.denied = False
        self.interval = INTERVAL
        self.asked_at = 0.0


class Thread:
    """A notification."""

    def __init__(self, number: int, project: Project, issue: Issue, reason: str, at: float) -> None:
        self.id = number
        self.project = project
        self.issue = issue
        self.reason = reason
        self.at = at


class GitHub(Forge):
    """An Enterprise Server; `register` an application, make a `project`, and look at the `record`."""

    api_base = "/api/v3"

    def __init__(self) -> None:
        super().__init__()
        self.device_flow = True
        """Whether the applications' owner has enabled the device flow."""

        self.left: dict[str, int] = {}
        """By login: requests left in this hour."""

        self.threads: dict[str, list[Thread]] = {}
        """By login: their notifications, the newest last."""

        self.dispatches: list[Mapping[str, Any]] = []
        self.listed_late = 0
        """How often a started run is not yet in the list."""

        self._devices: dict[str, Device] = {}

    @override
    def routes(self) -> Iterable[web.RouteDef]:
        """Return the pages, the flows' endpoints, and the API."""
        repo, one = "/repos/{owner}/{repo}", "/repos/{owner}/{repo}/issues/{number}"
        pull, actions = "/repos/{owner}/{repo}/pulls/{number}", "/repos/{owner}/{repo}/actions"
        return [
            web.get("/login/oauth/authorize", self.authorize_page),
            web.post("/login/oauth/authorize", self.authorize),
            web.post("/login/oauth/access_token", self.token),
            web.post("/login/device/code", self.device_code),
            web.get("/login/device", self.device_page),
            web.post("/login/device", self.device_asked),
            web.post("/login/device/authorize", self.device_decide),
            web.delete("/api/v3/applications/{client}/token", self.delete_token),
            self.on("GET", "/user", lambda call: (200, self._person(_login(call), whole=True))),
            self.on("GET", "/rate_limit", self._rate),
            self.on("GET", "/issues", self._mine),
            self.on("GET", "/search/issues", self._search),
            self.on("GET", "/notifications", self._notifications),
            self.on("GET", repo, lambda call: (200, self._repository(self._seen(call)))),
            self.on("GET", f"{repo}/issues", self._issues),
            self.on("POST", f"{repo}/issues", self._create),
            self.on("GET", one, lambda call: (200, self._issue(*self._found(call)))),
            self.on("PATCH", one, self._edit),
            self.on("GET", f"{one}/comments", self._comments),
            self.on("POST", f"{one}/comments", self._comment),
            self.on("POST", f"{one}/labels", self._label),
            self.on("DELETE", f"{one}/labels/{{label}}", self._unlabel),
            self.on("GET", f"{repo}/pulls", self._pulls),
            self.on("GET", pull, lambda call: (200, self._pull(*self._found(call, pull=True)))),
            self.on("GET", f"{pull}/reviews", self._reviews),
            self.on("PUT", f"{pull}/merge", self._merge),
            self.on("GET", f"{repo}/commits/{{ref}}/check-runs", self._checks),
            self.on("POST", f"{actions}/workflows/{{file}}/dispatches", self._dispatch),
            self.on("GET", f"{actions}/workflows/{{file}}/runs", self._runs),
            self.on("GET", f"{actions}/runs/{{run}}", self._run),
            self.on("GET", f"{actions}/runs/{{run}}/jobs", self._jobs),
            self.on("GET", f"{repo}/releases/latest", self._release),
        ]

    @override
    async def unknown(self, request: web.Request) -> web.StreamResponse:
        """Answer to what it does not know."""
        if request.path.startswith(self.api_base):
            return await self.called(request, lambda call: _raised(_missing()))
        return page("Not Found", "", 404)

    # ------------------------------------------------------------ OAuth

    @override
    def wrong(self, asked: Mapping[str, str]) -> web.Response | None:
        """Refuse an unknown client by a page, and another address by the way back to the registered one."""
        app = self.apps.get(asked.get("client_id", ""))
        if app is None:
            return refusal("Not Found", "There is no such application.", 404)
        target = asked.get("redirect_uri") or app.callback
        if target != app.callback and not target.startswith(app.callback.rstrip("/") + "/"):
            said = {"error": "redirect_uri_mismatch", "error_description": "The redirect_uri MUST match."}
            return self.back({**asked, "redirect_uri": app.callback}, said)
        if asked.get("code_challenge") and asked.get("code_challenge_method") != "S256":
            return self.back(asked, {"error": "invalid_request", "error_description": "S256 is the only method."})
        return None

    @override
    def granted(self, asked: str) -> tuple[str, ...]:
        """Drop what is unknown and what another has in it."""
        known = [one for one in dict.fromkeys(re.split(r"[\s,]+", asked)) if one in SCOPES]
        within = {inner for one in known for inner in IMPLIED.get(one, ())}
        return tuple(one for one in known if one not in within)

    async def token(self, request: web.Request) -> web.Response:
        """Exchange a code, or a device's code; errors come with status 200."""
        form = {name: str(value) for name, value in (await request.post()).items()} or dict(request.query)
        self.asked.append(form)
        if form.get("grant_type") == DEVICE_GRANT or "device_code" in form:
            return _said(request, self._by_device(form))
        app = self.client(request, form)
        if app is None:
            return _said(request, _failed("incorrect_client_credentials"))
        grant = self.redeem(app, form)
        if isinstance(grant, str):
            codes = {"redirect_uri": "redirect_uri_mismatch"}
            return _said(request, _failed(codes.get(grant, "bad_verification_code")))
        return _said(request, self._given(grant))

    def _given(self, grant: Grant) -> dict[str, Any]:
        made = self.issue_tokens(grant, f"gho_{token_hex(18)}")
        return {"access_token": made.access, "scope": ",".join(made.scopes), "token_type": "bearer"}

    async def device_code(self, request: web.Request) -> web.Response:
        """Begin a device flow."""
        form = {name: str(value) for name, value in (await request.post()).items()}
        app = self.apps.get(form.get("client_id", ""))
        if app is None:
            return web.json_response({"error": "Not Found"}, status=404)
        if not self.device_flow:
            return _said(request, _failed("device_flow_disabled"))
        code = token_hex(20)
        self._devices[code] = made = Device(app, self.granted(form.get("scope", "")), self.now() + DEVICE_LIFE)
        return _said(
            request,
            {
                "device_code": code,
                "user_code": made.user_code,
                "verification_uri": f"{self.origin}/login/device",
                "expires_in": int(DEVICE_LIFE),
                "interval": int(INTERVAL),
            },
        )

    async def device_page(self, request: web.Request) -> web.Response:
        """Ask for the code that the device shows."""
        return page("Device Activation", _DEVICE)

    async def device_asked(self, request: web.Request) -> web.Response:
        """Take the code, and ask who is there whether they allow it."""
        said = str((await request.post()).get("user_code", "")).upper()
        if self._device(said) is None:
            return page("Device Activation", f"<p>That code is not valid.</p>{_DEVICE}", 422)
        return consent_page("Authorize a device", "/login/device/authorize", {"code": said}, self.no)

    async def device_decide(self, request: web.Request) -> web.Response:
        """Take the person's yes or no."""
        form = await request.post()
        login, found = signed_in(form), self._device(str(form.get("code")))
        if found is None or (not login and form.get("do") != "no"):
            return page("Device Activation", "<p>That did not work.</p>", 422)
        found.login, found.denied = login, form.get("do") == "no"
        return page("Congratulations, you're all set!", "<p>Your device is now connected.</p>")

    def _device(self, user_code: str) -> Device | None:
        found = next((one for one in self._devices.values() if one.user_code == user_code), None)
        return found if found is not None and found.until >= self.now() else None

    def _by_device(self, form: Mapping[str, str]) -> dict[str, Any]:
        device = self._devices.get(form.get("device_code", ""))
        if form.get("grant_type") != DEVICE_GRANT:
            return _failed("unsupported_grant_type")
        if form.get("client_id") not in self.apps:
            return _failed("incorrect_client_credentials")
        if device is None or device.app.client_id != form["client_id"]:
            return _failed("incorrect_device_code")
        if device.until < self.now():
            return _failed("expired_token")
        too_soon, device.asked_at = self.now() - device.asked_at < device.interval - 0.2, self.now()
        if too_soon:
            device.interval += 5
            return {**_failed("slow_down"), "interval": int(device.interval)}
        if device.denied:
            return _failed("access_denied")
        if not device.login:
            return _failed("authorization_pending")
        del self._devices[form["device_code"]]
        return self._given(Grant(device.login, device.app, device.scopes))

    async def delete_token(self, request: web.Request) -> web.Response:
        """End one token of an application, which proves itself by HTTP Basic."""
        app = self.client(request, {})
        try:
            token = json.loads(await request.read())["access_token"]
        except (ValueError, KeyError, TypeError):
            token = ""
        if app is None or app.client_id != request.match_info["client"]:
            return _error(_missing())
        grant = self.tokens.get(token)
        if grant is None or grant.app is not app:
            return _error(_invalid("OauthAccess", "invalid", "access_token"))
        self.end(grant)
        return web.Response(status=204)

    # ------------------------------------------------------------ who asks

    @override
    def who(self, request: web.Request) -> Grant | None:
        """Take ``Bearer`` and ``token``; nobody's requests see what is public."""
        if not request.headers.get("User-Agent"):
            raise Problem(403, "Request forbidden by administrative rules: it has no User-Agent header.")
        header = request.headers.get("Authorization")
        if header is None:
            return None
        kind, _, token = header.partition(" ")
        grant = self.tokens.get(token) if kind.lower() in ("bearer", "token") else None
        if grant is None:
            raise Problem(401, _message("Bad credentials", 401))
        left = self.left[grant.login] = self.left.get(grant.login, HOURLY) - 1
        if left < 0:
            self.left[grant.login] = 0
            said = _message(f"API rate limit exceeded for user ID {person_id(grant.login)}.", 403)
            raise Problem(403, said, self.headers(grant))
        return grant

    @override
    def headers(self, grant: Grant | None) -> dict[str, str]:
        """Return the headers that tell the scopes and how many requests are left."""
        limit, left = (HOURLY, self.left.get(grant.login, HOURLY)) if grant else (60, 59)
        common = {
            "X-GitHub-Media-Type": "github.v3; format=json",
            "X-GitHub-Request-Id": token_hex(8).upper(),
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(left),
            "X-RateLimit-Used": str(limit - left),
            "X-RateLimit-Reset": str(int(self.now()) + 1800),
            "X-RateLimit-Resource": "core",
        }
        return {**common, "X-OAuth-Scopes": ", ".join(grant.scopes)} if grant else common

    @override
    def bad_json(self) -> Problem:
        """Return what is said to a body that is no JSON object."""
        return Problem(400, _message("Problems parsing JSON", 400))

    def _seen(self, call: Call) -> Project:
        project = self.projects.get(f"{call.parts['owner']}/{call.parts['repo']}".lower())
        if project is None or not project.seen_by(call.login):
            raise _missing()
        if project.private and not _has(call, "repo"):
            raise _missing()
        return project

    def _changed(self, call: Call, *, own: str = "", anybody: bool = False) -> Project:
        """Return the project if the caller may change this: as *anybody*, as its writer, or as *own*, its author."""
        project = self._seen(call)
        _login(call)
        if not _has(call, "repo", "public_repo"):
            said = _message("Resource not accessible by personal access token", 403)
            raise Problem(403, said, {"X-Accepted-OAuth-Scopes": "public_repo, repo"})
        if not anybody and call.login != own and not project.written_by(call.login):
            raise Problem(403, _message("Must have admin rights to Repository.", 403))
        return project

    def _found(self, call: Call, *, pull: bool = False) -> tuple[Project, Issue]:
        project = self._seen(call)
        issue = next((one for one in project.issues if str(one.number) == call.parts["number"]), None)
        if issue is None or (pull and issue.pull is None):
            raise _missing()
        return project, issue

    # ------------------------------------------------------------ what things look like

    def _person(self, login: str, *, whole: bool = False) -> dict[str, Any]:
        number = person_id(login)
        plain = {
            "login": login,
            "id": number,
            "node_id": f"U_{number}",
            "avatar_url": f"{self.origin}/avatars/u/{number}",
            "html_url": f"{self.origin}/{login}",
            "type": "User",
        }
        return {**plain, "name": login.capitalize(), "email": None} if whole else plain

    def _repository(self, project: Project) -> dict[str, Any]:
        return {
            "id": project.id,
            "name": project.name,
            "full_name": project.path,
            "private": project.private,
            "html_url": f"{self.origin}/{project.path}",
            "default_branch": "main",
        }

    def _page_of(self, project: Project, issue: Issue) -> str:
        return f"{self.origin}/{project.path}/{'pull' if issue.pull else 'issues'}/{issue.number}"

    def _issue(self, project: Project, issue: Issue) -> dict[str, Any]:
        api = f"{self.origin}{self.api_base}/repos/{project.path}"
        made = {
            "id": issue.id,
            "number": issue.number,
            "title": issue.title,
            "body": issue.body or None,
            "state": "open" if issue.open else "closed",
            "user": self._person(issue.author),
            "labels": [{"name": one} for one in issue.labels],
            "assignees": [self._person(one) for one in issue.assignees],
            "comments": len(issue.comments),
            "created_at": stamp(issue.at),
            "updated_at": stamp(issue.updated),
            "closed_by": self._person(issue.closed_by) if issue.closed_by else None,
            "html_url": self._page_of(project, issue),
            "repository_url": api,
        }
        if issue.pull is None:
            return made
        return {**made, "draft": issue.pull.draft, "pull_request": {"url": f"{api}/pulls/{issue.number}"}}

    def _pull(self, project: Project, issue: Issue) -> dict[str, Any]:
        pull = issue.pull
        assert pull is not None
        made = self._issue(project, issue)
        del made["pull_request"], made["repository_url"], made["closed_by"]
        return {
            **made,
            "draft": pull.draft,
            "merged": bool(pull.merged_by),
            "merged_by": self._person(pull.merged_by) if pull.merged_by else None,
            "mergeable": None if not issue.open else not pull.conflict,
            "head": {"ref": pull.source, "sha": pull.sha},
            "base": {"ref": pull.target, "repo": self._repository(project)},
            "requested_reviewers": [self._person(one) for one in pull.requested],
        }

    def _comment_of(self, comment: Comment) -> dict[str, Any]:
        return {
            "id": comment.id,
            "user": self._person(comment.author),
            "body": comment.body,
            "created_at": stamp(comment.at),
            "updated_at": stamp(comment.at),
        }

    # ------------------------------------------------------------ reading

    def _rate(self, call: Call) -> Answered:
        core = {"limit": HOURLY, "remaining": self.left.get(call.login, HOURLY), "reset": int(self.now()) + 1800}
        return 200, {"resources": {"core": core}, "rate": core}

    def _mine(self, call: Call) -> Answered:
        login = _login(call)
        _one_of(call, "filter", "assigned", "created", "mentioned", "subscribed", "repos", "all")
        which = call.query.get("filter", "assigned")
        wanted: Callable[[Issue], bool] = {
            "assigned": lambda one: login in one.assignees,
            "created": lambda one: one.author == login,
        }.get(which, lambda one: True)
        return self._paged(call, [pair for pair in self._all(call) if wanted(pair[1]) and _in_state(call, pair[1])])

    def _issues(self, call: Call) -> Answered:
        project = self._seen(call)
        labels = [one for one in call.query.get("labels", "").split(",") if one]
        found = [(project, one) for one in project.issues if _in_state(call, one) and set(labels) <= set(one.labels)]
        return self._paged(call, found)

    def _pulls(self, call: Call) -> Answered:
        project = self._seen(call)
        found = [(project, one) for one in project.issues if one.pull and _in_state(call, one)]
        return self._paged(call, found, self._pull)

    def _all(self, call: Call) -> list[tuple[Project, Issue]]:
        visible = [one for one in self.projects.values() if one.seen_by(call.login)]
        visible = [one for one in visible if not one.private or _has(call, "repo")]
        return [(project, issue) for project in visible for issue in project.issues]

    def _paged(
        self,
        call: Call,
        found: list[tuple[Project, Issue]],
        shape: Callable[[Project, Issue], dict[str, Any]] | None = None,
    ) -> Answered:
        found.sort(key=lambda pair: pair[1].updated, reverse=True)
        size, number = min(int(call.query.get("per_page", "30")), 100), int(call.query.get("page", "1"))
        part = found[(number - 1) * size : number * size]
        headers = {}
        if number * size < len(found):
            following = urlencode({**call.query, "page": number + 1})
            headers["Link"] = f'<{self.origin}{self.api_base}/x?{following}>; rel="next"'
        return 200, [(shape or self._issue)(*pair) for pair in part], headers

    def _search(self, call: Call) -> Answered:
        login, words = _login(call), call.query.get("q", "").split()
        if not {"is:issue", "is:pr", "type:pr", "type:issue"} & set(words):
            raise _invalid("Search", "invalid", "q", "Query must include 'is:issue' or 'is:pull-request'")
        found = self._all(call)
        for word in words:
            name, _, value = word.partition(":")
            value = login if value == "@me" else value
            tests: dict[str, Callable[[Issue], bool]] = {
                "author": lambda one, value=value: one.author == value,  # type: ignore[misc]
                "assignee": lambda one, value=value: value in one.assignees,  # type: ignore[misc]
                "review-requested": lambda one, value=value: bool(one.pull and value in one.pull.requested),  # type: ignore[misc]
            }
            plain: dict[str, Callable[[Issue], bool]] = {
                "is:pr": lambda one: one.pull is not None,
                "is:issue": lambda one: one.pull is None,
                "is:open": lambda one: one.open,
                "archived:false": lambda one: True,
            }
            wanted = plain.get(word) or tests.get(name)
            if wanted is None:
                raise _invalid("Search", "invalid", "q")
            found = [pair for pair in found if wanted(pair[1])]
        _, items, *_ = self._paged(call, found)
        return 200, {"total_count": len(found), "incomplete_results": False, "items": items}

    def _comments(self, call: Call) -> Answered:
        _, issue = self._found(call)
        since = call.query.get("since", "")
        found = [self._comment_of(one) for one in issue.comments if stamp(one.at) >= since]
        size, number = min(int(call.query.get("per_page", "30")), 100), int(call.query.get("page", "1"))
        return 200, found[(number - 1) * size : number * size]

    def _reviews(self, call: Call) -> Answered:
        _, issue = self._found(call, pull=True)
        assert issue.pull is not None
        made = [
            {"id": one.id, "user": self._person(one.author), "state": one.state, "submitted_at": stamp(one.at)}
            for one in issue.pull.reviews
        ]
        return 200, made

    def _checks(self, call: Call) -> Answered:
        project = self._seen(call)
        ref = call.parts["ref"]
        pull = next((one.pull for one in project.issues if one.pull and ref in (one.pull.sha, one.pull.source)), None)
        if pull is None:
            raise Problem(422, _message(f"No commit found for SHA: {ref}", 422))
        runs = [
            {
                "name": name,
                "status": "completed" if outcome else "in_progress",
                "conclusion": outcome or None,
                "started_at": stamp(at),
                "completed_at": stamp(at) if outcome else None,
            }
            for name, (outcome, at) in pull.checks.items()
        ]
        return 200, {"total_count": len(runs), "check_runs": runs}

    def notify(self, login: str, project: Project, issue: Issue, reason: str) -> None:
        """Put *issue* into the inbox of *login*."""
        threads = self.threads.setdefault(login, [])
        threads[:] = [one for one in threads if one.issue is not issue]
        threads.append(Thread(self.next_id(), project, issue, reason, self.now()))

    def _notifications(self, call: Call) -> Answered:
        login = _login(call)
        if not _has(call, "notifications", "repo"):
            said = _message("Missing the 'notifications' scope.", 403)
            raise Problem(403, said, {"X-Accepted-OAuth-Scopes": "notifications, repo"})
        found = sorted(self.threads.get(login, []), key=lambda one: one.at, reverse=True)
        headers = {"X-Poll-Interval": "60"}
        if found:
            headers["Last-Modified"] = web_date(found[0].at)
            if call.headers.get("If-Modified-Since") == headers["Last-Modified"]:
                headers["-not-modified"] = "yes"
        return 200, [self._thread(one) for one in found], headers

    def _thread(self, thread: Thread) -> dict[str, Any]:
        kind = "pulls" if thread.issue.pull else "issues"
        api = f"{self.origin}{self.api_base}/repos/{thread.project.path}"
        return {
            "id": str(thread.id),
            "unread": True,
            "reason": thread.reason,
            "updated_at": stamp(thread.at),
            "subject": {
                "title": thread.issue.title,
                "type": "PullRequest" if thread.issue.pull else "Issue",
                "url": f"{api}/{kind}/{thread.issue.number}",
            },
            "repository": self._repository(thread.project),
        }

    def _release(self, call: Call) -> Answered:
        project = self._seen(call)
        if project.release is None:
            raise _missing()
        tag = project.release["tag_name"]
        page_of = f"{self.origin}/{project.path}/releases/tag/{tag}"
        return 200, {"name": None, "body": "", "html_url": page_of, "draft": False, **project.release}

    # ------------------------------------------------------------ changing

    def _create(self, call: Call) -> Answered:
        project = self._changed(call, anybody=True)
        title = _text(call, "title", "Issue")
        issue = self.issue(project, call.login, title, str(call.body.get("body") or ""))
        if project.written_by(call.login):  # of others these are dropped without a word
            issue.labels = list(call.body.get("labels") or [])
        return 201, self._issue(project, issue)

    def _edit(self, call: Call) -> Answered:
        project, issue = self._found(call)
        self._changed(call, own=issue.author)
        state = call.body.get("state", "open" if issue.open else "closed")
        if state not in ("open", "closed"):
            raise _invalid("Issue", "invalid", "state")
        if state == "open" and issue.pull and issue.pull.merged_by:
            raise _invalid("Issue", "invalid", "state")
        issue.open = state == "open"
        issue.closed_by = "" if issue.open else call.login
        issue.updated = self.now()
        return 200, self._issue(project, issue)

    def _comment(self, call: Call) -> Answered:
        _, issue = self._found(call)
        self._changed(call, anybody=True)
        return 201, self._comment_of(self.say(issue, call.login, _text(call, "body", "IssueComment")))

    def _label(self, call: Call) -> Answered:
        project, issue = self._found(call)
        self._changed(call)
        names = call.body.get("labels")
        if not isinstance(names, list) or not names or not all(isinstance(one, str) and one for one in names):
            raise _invalid("Label", "missing_field", "labels")
        project.labels += [one for one in names if one not in project.labels]  # GitHub makes those that are new
        issue.labels += [one for one in names if one not in issue.labels]
        issue.updated = self.now()
        return 200, [{"name": one} for one in issue.labels]

    def _unlabel(self, call: Call) -> Answered:
        _, issue = self._found(call)
        self._changed(call)
        if call.parts["label"] not in issue.labels:
            raise Problem(404, _message("Label does not exist", 404))
        issue.labels.remove(call.parts["label"])
        return 200, [{"name": one} for one in issue.labels]

    def _merge(self, call: Call) -> Answered:
        _, issue = self._found(call, pull=True)
        self._changed(call)
        pull = issue.pull
        assert pull is not None
        if call.body.get("merge_method", "merge") not in MERGES:
            raise _invalid("PullRequest", "invalid", "merge_method")
        if call.body.get("sha", pull.sha) != pull.sha:
            raise Problem(409, _message("Head branch was modified. Review and try the merge again.", 409))
        if pull.draft or pull.conflict or not issue.open:
            raise Problem(405, _message("Pull Request is not mergeable", 405))
        pull.merged_by = call.login
        self.close(issue, call.login)
        return 200, {"sha": token_hex(20), "merged": True, "message": "Pull Request successfully merged"}

    def _dispatch(self, call: Call) -> Answered:
        project = self._changed(call)
        file = call.parts["file"]
        if file not in project.workflows:
            raise _missing()
        if not project.workflows[file]:
            raise Problem(422, _message("Workflow does not have 'workflow_dispatch' trigger", 422))
        ref, inputs = call.body.get("ref"), call.body.get("inputs") or {}
        if ref is None:
            raise Problem(422, _message('Invalid request.\n\n"ref" wasn\'t supplied.', 422))
        if ref != "main":
            raise Problem(422, _message(f"No ref found for: {ref}", 422))
        if not isinstance(inputs, dict) or not set(inputs) <= {"level"}:
            raise Problem(422, _message("Unexpected inputs provided", 422))
        project.runs.append(Run(self.next_id(), file, ref, call.login, self.now(), inputs))
        self.dispatches.append({"file": file, "ref": ref, "inputs": inputs, "actor": call.login})
        return 204, None

    def _runs(self, call: Call) -> Answered:
        project = self._seen(call)
        asked = call.query
        _one_of(call, "event", "workflow_dispatch", "push", "schedule")
        found = [
            self._run_of(project, one)
            for one in reversed(project.runs)
            if one.workflow == call.parts["file"]
            and asked.get("actor", one.actor) == one.actor
            and asked.get("branch", one.branch) == one.branch
            and asked.get("event", "workflow_dispatch") == "workflow_dispatch"
        ]
        if self.listed_late > 0:
            self.listed_late, found = self.listed_late - 1, []
        return 200, {"total_count": len(found), "workflow_runs": found}

    def _run(self, call: Call) -> Answered:
        project = self._seen(call)
        run = next((one for one in project.runs if str(one.id) == call.parts["run"]), None)
        if run is None:
            raise _missing()
        return 200, self._run_of(project, run)

    def _jobs(self, call: Call) -> Answered:
        self._run(call)
        project = self._seen(call)
        run = next(one for one in project.runs if str(one.id) == call.parts["run"])
        steps = [{"name": "Check out", "conclusion": "success"}, {"name": "Deploy", "conclusion": run.conclusion}]
        job = {"id": run.id, "name": "deploy", "status": run.status, "conclusion": run.conclusion, "steps": steps}
        return 200, {"total_count": 1, "jobs": [job]}

    def _run_of(self, project: Project, run: Run) -> dict[str, Any]:
        return {
            "id": run.id,
            "name": run.workflow,
            "path": f".github/workflows/{run.workflow}",
            "run_number": project.runs.index(run) + 1,
            "event": "workflow_dispatch",
            "head_branch": run.branch,
            "status": run.status,
            "conclusion": run.conclusion,
            "actor": self._person(run.actor),
            "created_at": stamp(run.at),
            "run_started_at": stamp(run.at),
            "updated_at": stamp(self.now()),
            "html_url": f"{self.origin}/{project.path}/actions/runs/{run.id}",
        }


_DEVICE = '<form method="post" action="/login/device"><input name="user_code"><button>Continue</button></form>'


def web_date(at: float) -> str:
    """Return *at* as HTTP writes it (RFC 9110 section 5.6.7)."""
    from email.utils import formatdate

    return formatdate(int(at), usegmt=True)


def _login(call: Call) -> str:
    if not call.login:
        raise Problem(401, _message("Requires authentication", 401))
    return call.login


def _has(call: Call, *scopes: str) -> bool:
    return call.grant is not None and not set(scopes).isdisjoint(call.grant.scopes)


def _message(said: str, status: int) -> dict[str, Any]:
    return {"message": said, "documentation_url": DOCS, "status": str(status)}


def _missing() -> Problem:
    return Problem(404, _message("Not Found", 404))


def _invalid(resource: str, code: str, name: str, message: str = "") -> Problem:
    fault = {"resource": resource, "code": code, "field": name, **({"message": message} if message else {})}
    return Problem(422, {**_message("Validation Failed", 422), "errors": [fault]})


def _raised(problem: Problem) -> Answered:
    raise problem


def _error(problem: Problem) -> web.Response:
    return web.json_response(problem.body, status=problem.status)


def _text(call: Call, name: str, resource: str) -> str:
    value = call.body.get(name)
    if not isinstance(value, str) or not value.strip():
        raise _invalid(resource, "missing_field", name)
    return value


def _one_of(call: Call, name: str, *known: str) -> None:
    if name in call.query and call.query[name] not in known:
        raise _invalid("Query", "invalid", name)


def _in_state(call: Call, issue: Issue) -> bool:
    _one_of(call, "state", "open", "closed", "all")
    return {"open": issue.open, "closed": not issue.open, "all": True}[call.query.get("state", "open")]


def _failed(error: str) -> dict[str, Any]:
    return {"error": error, "error_description": "See the documentation.", "error_uri": f"{DOCS}#{error}"}


def _said(request: web.Request, data: Mapping[str, Any]) -> web.Response:
    """Return *data* as a form, unless JSON is asked for."""
    if "application/json" in request.headers.get("Accept", ""):
        return web.json_response(data)
    return web.Response(text=urlencode(data), content_type="application/x-www-form-urlencoded")
