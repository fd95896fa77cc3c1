"""A stand-in for GitLab, written from GitLab's documentation (https://docs.gitlab.com/api/) and Doorkeeper's rules.

It is no GitLab: it is an HTTP server of this project's on 127.0.0.1 that speaks the parts of the REST API and of
the authorization server that the bot uses, and refuses what the documentation says is refused.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from secrets import token_hex
from typing import Any, override
from urllib.parse import urlencode

from aiohttp import web

from servers.forges import (
    Answered,
    Call,
    Comment,
    Forge,
    Grant,
    Issue,
    Problem,
    Project,
    person_id,
    refusal,
    stamp,
)

SCOPES = frozenset(
    {"api", "read_api", "read_user", "read_repository", "write_repository", "openid", "profile", "email"}
)
LIFETIME = 7200.0
READS = ("api", "read_api")


class GitLab(Forge):
    """GitLab; `register` an application with the scopes it may ask for, make a `project`, look at the `record`."""

    api_base = "/api/v4"
    pulls_apart = True
    no = "Deny"

    def __init__(self) -> None:
        super().__init__()
        self.keys: dict[str, tuple[str, tuple[str, ...]]] = {}
        """Personal access tokens: whose, and their scopes."""

        self.limited = 0
        """How many of the next requests are too many."""

    def key(self, login: str, *scopes: str) -> str:
        """Make a personal access token of *login*."""
        made = f"glpat-{token_hex(10)}"
        self.keys[made] = (login, scopes or ("api",))
        return made

    @override
    def routes(self) -> Iterable[web.RouteDef]:
        """Return the pages, the authorization server's endpoints, and the API."""
        project = "/projects/{project}"
        issue, merge = f"{project}/issues/{{iid}}", f"{project}/merge_requests/{{iid}}"
        return [
            web.get("/oauth/authorize", self.authorize_page),
            web.post("/oauth/authorize", self.authorize),
            web.post("/oauth/token", self.token),
            web.post("/oauth/revoke", self.revoke),
            self.on("GET", "/user", self._me),
            self.on("GET", "/issues", lambda call: self._mine(call, pulls=False)),
            self.on("GET", "/merge_requests", lambda call: self._mine(call, pulls=True)),
            self.on("GET", project, lambda call: (200, self._project_of(self._seen(call)))),
            self.on("GET", f"{project}/issues", lambda call: self._listed(call, pulls=False)),
            self.on("POST", f"{project}/issues", self._create),
            self.on("GET", issue, lambda call: (200, self._issue(*self._found(call)))),
            self.on("PUT", issue, self._edit),
            self.on("GET", f"{issue}/notes", self._notes),
            self.on("POST", f"{issue}/notes", self._note),
            self.on("GET", f"{project}/merge_requests", lambda call: self._listed(call, pulls=True)),
            self.on("GET", merge, self._one_merge),
            self.on("PUT", merge, lambda call: self._edit(call, pull=True)),
            self.on("GET", f"{merge}/notes", lambda call: self._notes(call, pull=True)),
            self.on("POST", f"{merge}/notes", lambda call: self._note(call, pull=True)),
            self.on("GET", f"{merge}/approvals", self._approvals),
            self.on("GET", f"{merge}/pipelines", self._pipelines),
            self.on("PUT", f"{merge}/merge", self._merge),
        ]

    @override
    async def unknown(self, request: web.Request) -> web.StreamResponse:
        """Answer to what it does not know: a project's path with bare slashes, say."""
        return web.json_response({"error": "404 Not Found"}, status=404)

    # ------------------------------------------------------------ OAuth

    @override
    def wrong(self, asked: Mapping[str, str]) -> web.Response | None:
        """Refuse by a page what does not fit the registration, and by the way back what is asked too much."""
        app = self.apps.get(asked.get("client_id", ""))
        if app is None:
            return refusal("An error has occurred", "Client authentication failed due to unknown client.", 401)
        if asked.get("redirect_uri") != app.callback:
            return refusal("An error has occurred", "The redirect URI included is not valid.", 400)
        if asked.get("response_type") != "code":
            return self.back(asked, {"error": "unsupported_response_type"})
        scopes = set(asked.get("scope", "").split())
        if not scopes or not scopes <= (app.scopes or SCOPES):
            return self.back(asked, {"error": "invalid_scope", "error_description": "The requested scope is invalid."})
        if asked.get("code_challenge") and asked.get("code_challenge_method") not in ("S256", "plain"):
            return self.back(asked, {"error": "invalid_code_challenge_method"})
        return None

    async def token(self, request: web.Request) -> web.Response:
        """Exchange a code, or a refresh token, which goes with its access token."""
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.asked.append(form)
        app = self.client(request, form)
        if app is None:
            return _failed("invalid_client", 401)
        kind = form.get("grant_type")
        if kind == "authorization_code":
            if not form.get("redirect_uri"):
                return _failed("invalid_request")
            found = self.redeem(app, form)
            return _failed("invalid_grant") if isinstance(found, str) else self._given(found)
        if kind == "refresh_token":
            grant = self.refreshes.get(form.get("refresh_token", ""))
            # The documentation has redirect_uri in this request as well; Doorkeeper asks for none.
            if (
                grant is None
                or grant.app is not app
                or form.get("redirect_uri", grant.redirect_uri) != grant.redirect_uri
            ):
                return _failed("invalid_grant")
            self.end(grant)
            return self._given(grant)
        return _failed("unsupported_grant_type")

    def _given(self, grant: Grant) -> web.Response:
        made = self.issue_tokens(grant, token_hex(32), token_hex(32), LIFETIME)
        return web.json_response(
            {
                "access_token": made.access,
                "token_type": "Bearer",
                "expires_in": int(LIFETIME),
                "refresh_token": made.refresh,
                "scope": " ".join(made.scopes),
                "created_at": int(self.now()),
            }
        )

    async def revoke(self, request: web.Request) -> web.Response:
        """End a token by either of its two halves (RFC 7009)."""
        form = {name: str(value) for name, value in (await request.post()).items()}
        app = self.client(request, form)
        if app is None:
            return _failed("unauthorized_client", 403)
        said = form.get("token", "")
        grant = self.tokens.get(said) or self.refreshes.get(said)
        if grant is not None:
            if grant.app is not app:
                return _failed("unauthorized_client", 403)
            self.end(grant)
        return web.json_response({})

    # ------------------------------------------------------------ who asks

    @override
    def who(self, request: web.Request) -> Grant | None:
        """Take ``PRIVATE-TOKEN`` for a key, and ``Bearer`` for that or a token."""
        if self.limited > 0:
            self.limited -= 1
            raise Problem(429, "Retry later\n", {"Retry-After": "30", "RateLimit-Remaining": "0"})
        key = request.headers.get("PRIVATE-TOKEN", "")
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if not key and not token:
            return None
        if not key and kind.lower() == "bearer":
            grant = self.tokens.get(token)
            if grant is not None and grant.until < self.now():
                raise _token_error("invalid_token", "Token is expired. You can either do re-authorization or refresh.")
            if grant is not None:
                return grant
            key = token
        if key not in self.keys:
            raise _token_error("invalid_token", "Token was revoked. You have to re-authorize from the user.")
        login, scopes = self.keys[key]
        return Grant(login, _PERSONAL, scopes)

    @override
    def headers(self, grant: Grant | None) -> dict[str, str]:
        """Return the headers of every answer."""
        return {"X-Request-Id": token_hex(13).upper(), "RateLimit-Limit": "2000", "RateLimit-Remaining": "1999"}

    @override
    def bad_json(self) -> Problem:
        """Return what is said to a body that is no JSON object."""
        return Problem(400, {"error": "The request body is not valid JSON"})

    def _login(self, call: Call, *, writes: bool = False) -> str:
        if call.grant is None:
            raise Problem(401, {"message": "401 Unauthorized"})
        wanted = ("api",) if writes else READS
        if not set(wanted) & set(call.grant.scopes):
            said = "The request requires higher privileges than provided by the access token."
            raise Problem(403, {"error": "insufficient_scope", "error_description": said, "scope": " ".join(wanted)})
        return call.login

    def _seen(self, call: Call, *, writes: bool = False) -> Project:
        if call.grant is not None or writes:
            self._login(call, writes=writes)
        wanted = call.parts["project"].lower()
        found = self.projects.get(wanted)
        if found is None:
            found = next((one for one in self.projects.values() if str(one.id) == wanted), None)
        if found is None or not found.seen_by(call.login):
            raise Problem(404, {"message": "404 Project Not Found"})
        return found

    def _found(self, call: Call, *, pull: bool = False, writes: bool = False) -> tuple[Project, Issue]:
        project = self._seen(call, writes=writes)
        for one in project.issues:
            if str(one.number) == call.parts["iid"] and (one.pull is not None) == pull:
                return project, one
        raise Problem(404, {"message": "404 Not found" if pull else "404 Issue Not Found"})

    # ------------------------------------------------------------ what things look like

    def _person(self, login: str) -> dict[str, Any]:
        return {
            "id": person_id(login),
            "username": login,
            "name": login.capitalize(),
            "state": "active",
            "avatar_url": None,
            "web_url": f"{self.origin}/{login}",
        }

    def _project_of(self, project: Project) -> dict[str, Any]:
        return {
            "id": project.id,
            "path_with_namespace": project.path,
            "visibility": "private" if project.private else "public",
            "web_url": f"{self.origin}/{project.path}",
        }

    def _issue(self, project: Project, issue: Issue) -> dict[str, Any]:
        pull, mark = issue.pull, "!" if issue.pull else "#"
        kind = "merge_requests" if pull else "issues"
        state = "merged" if pull and pull.merged_by else "opened" if issue.open else "closed"
        made = {
            "id": issue.id,
            "iid": issue.number,
            "project_id": project.id,
            "title": issue.title,
            "description": issue.body,
            "state": state,
            "author": self._person(issue.author),
            "assignees": [self._person(one) for one in issue.assignees],
            "labels": issue.labels,
            "created_at": _moment(issue.at),
            "updated_at": _moment(issue.updated),
            "closed_by": self._person(issue.closed_by) if issue.closed_by and state == "closed" else None,
            "user_notes_count": len(issue.comments),
            "web_url": f"{self.origin}/{project.path}/-/{kind}/{issue.number}",
            "references": {"full": f"{project.path}{mark}{issue.number}"},
        }
        if pull is None:
            return made
        ready = issue.open and not pull.draft and not pull.conflict
        return {
            **made,
            "source_branch": pull.source,
            "target_branch": pull.target,
            "sha": pull.sha,
            "draft": pull.draft,
            "has_conflicts": pull.conflict,
            "detailed_merge_status": "mergeable" if ready else "not_open" if not issue.open else "conflict",
            "merge_user": self._person(pull.merged_by) if pull.merged_by else None,
            "reviewers": [self._person(one) for one in pull.requested],
        }

    def _note_of(self, comment: Comment) -> dict[str, Any]:
        return {
            "id": comment.id,
            "body": comment.body,
            "author": self._person(comment.author),
            "system": False,
            "created_at": _moment(comment.at),
        }

    # ------------------------------------------------------------ reading

    def _me(self, call: Call) -> Answered:
        if call.grant is None:
            raise Problem(401, {"message": "401 Unauthorized"})
        if not set(call.grant.scopes) & {"api", "read_api", "read_user"}:
            raise Problem(403, {"error": "insufficient_scope", "scope": "api read_user"})
        return 200, {**self._person(call.login), "email": f"{call.login}@gitlab.invalid"}

    def _mine(self, call: Call, *, pulls: bool) -> Answered:
        login = self._login(call)
        scope = call.query.get("scope", "created_by_me")
        if scope not in ("created_by_me", "assigned_to_me", "all"):
            raise Problem(400, {"error": "scope does not have a valid value"})
        tests: dict[str, Callable[[Issue], bool]] = {
            "created_by_me": lambda one: one.author == login,
            "assigned_to_me": lambda one: login in one.assignees,
            "all": lambda one: True,
        }
        visible = [one for one in self.projects.values() if one.seen_by(login)]
        found = [(project, one) for project in visible for one in project.issues if (one.pull is not None) == pulls]
        if reviewer := call.query.get("reviewer_username"):
            found = [pair for pair in found if pair[1].pull and reviewer in pair[1].pull.requested]
        return self._paged(call, [pair for pair in found if tests[scope](pair[1])])

    def _listed(self, call: Call, *, pulls: bool) -> Answered:
        project = self._seen(call)
        return self._paged(call, [(project, one) for one in project.issues if (one.pull is not None) == pulls])

    def _paged(self, call: Call, found: list[tuple[Project, Issue]]) -> Answered:
        state = call.query.get("state", "all")
        if state not in ("opened", "closed", "merged", "locked", "all"):
            raise Problem(400, {"error": "state does not have a valid value"})
        found = [pair for pair in found if state == "all" or self._issue(*pair)["state"] == state]
        found.sort(key=lambda pair: pair[1].updated, reverse=True)
        size, number = min(int(call.query.get("per_page", "20")), 100), int(call.query.get("page", "1"))
        pages = max(1, -(-len(found) // size))
        headers = {
            "X-Total": str(len(found)),
            "X-Total-Pages": str(pages),
            "X-Page": str(number),
            "X-Per-Page": str(size),
            "X-Next-Page": str(number + 1) if number < pages else "",
        }
        if number < pages:
            following = urlencode({**call.query, "page": number + 1})
            headers["Link"] = f'<{self.origin}{self.api_base}/x?{following}>; rel="next"'
        return 200, [self._issue(*pair) for pair in found[(number - 1) * size : number * size]], headers

    def _one_merge(self, call: Call) -> Answered:
        project, issue = self._found(call, pull=True)
        return 200, {**self._issue(project, issue), "user": {"can_merge": project.written_by(call.login)}}

    def _notes(self, call: Call, *, pull: bool = False) -> Answered:
        _, issue = self._found(call, pull=pull)
        newest_first = call.query.get("sort", "desc") == "desc"
        return 200, [self._note_of(one) for one in sorted(issue.comments, key=lambda one: one.at, reverse=newest_first)]

    def _approvals(self, call: Call) -> Answered:
        _, issue = self._found(call, pull=True)
        assert issue.pull is not None
        yes = [one for one in issue.pull.reviews if one.state == "APPROVED"]
        by = [{"user": self._person(one.author), "approved_at": _moment(one.at)} for one in yes]
        return 200, {"approved": bool(yes), "approved_by": by}

    def _pipelines(self, call: Call) -> Answered:
        _, issue = self._found(call, pull=True)
        assert issue.pull is not None
        made = [
            {"id": place, "sha": issue.pull.sha, "status": outcome or "running", "updated_at": _moment(at)}
            for place, (outcome, at) in enumerate(issue.pull.checks.values(), 1)
        ]
        return 200, made[::-1]

    # ------------------------------------------------------------ changing

    def _create(self, call: Call) -> Answered:
        project = self._seen(call, writes=True)
        title = call.body.get("title")
        if not isinstance(title, str):
            raise Problem(400, {"error": "title is missing"})
        if not title.strip():
            raise Problem(400, {"message": {"title": ["can't be blank"]}})
        return 201, self._issue(
            project, self.issue(project, call.login, title, str(call.body.get("description") or ""))
        )

    def _edit(self, call: Call, *, pull: bool = False) -> Answered:
        project, issue = self._found(call, pull=pull, writes=True)
        if call.login != issue.author and not project.written_by(call.login):
            raise Problem(403, {"message": "403 Forbidden"})
        event = call.body.get("state_event", "")
        known = {"title", "description", "labels", "add_labels", "remove_labels", "state_event", "assignee_ids"}
        if not set(call.body) & known:
            raise Problem(400, {"error": f"{', '.join(sorted(known))} are missing, at least one must be provided"})
        if event not in ("", "close", "reopen"):
            raise Problem(400, {"error": "state_event does not have a valid value"})
        if event and not (issue.pull and issue.pull.merged_by):  # a merged one stays so, without a word
            issue.open, issue.closed_by = event == "reopen", call.login if event == "close" else ""
        for name in _names(call.body.get("add_labels")):
            issue.labels += [name] if name not in issue.labels else []
        issue.labels = [one for one in issue.labels if one not in _names(call.body.get("remove_labels"))]
        issue.updated = self.now()
        return 200, self._issue(project, issue)

    def _note(self, call: Call, *, pull: bool = False) -> Answered:
        _, issue = self._found(call, pull=pull, writes=True)
        body = call.body.get("body")
        if not isinstance(body, str):
            raise Problem(400, {"error": "body is missing"})
        if not body.strip():
            raise Problem(400, {"message": {"note": ["can't be blank"]}})
        return 201, self._note_of(self.say(issue, call.login, body))

    def _merge(self, call: Call) -> Answered:
        project, issue = self._found(call, pull=True, writes=True)
        pull = issue.pull
        assert pull is not None
        if not project.written_by(call.login):
            raise Problem(401, {"message": "401 Unauthorized"})
        if not issue.open or pull.draft:
            raise Problem(405, {"message": "405 Method Not Allowed"})
        if call.body.get("sha", pull.sha) != pull.sha:
            raise Problem(409, {"message": f"SHA does not match HEAD of source branch: {pull.sha}"})
        if pull.conflict:
            raise Problem(406, {"message": "Branch cannot be merged"})
        pull.merged_by, issue.open, issue.updated = call.login, False, self.now()
        return 200, self._issue(project, issue)


def _names(said: object) -> list[str]:
    return [one.strip() for one in said.split(",") if one.strip()] if isinstance(said, str) else []


def _moment(at: float) -> str:
    """Return *at* as GitLab writes it, with milliseconds."""
    return re.sub("Z$", f".{int(at * 1000) % 1000:03d}Z", stamp(at))


def _failed(error: str, status: int = 400) -> web.Response:
    return web.json_response({"error": error, "error_description": "See the documentation."}, status=status)


def _token_error(error: str, said: str) -> Problem:
    return Problem(401, {"error": error, "error_description": said}, {"WWW-Authenticate": f'Bearer error="{error}"'})


_PERSONAL = Forge().register("", name="a personal access token")
