"""A stand-in for Forgejo and Gitea, written from their documentation (forgejo.org/docs, docs.gitea.com).

It is neither: it is an HTTP server of this project's on 127.0.0.1 that speaks the parts of the API and of the
authorization server that the bot uses, and refuses what the documentation says is refused.  As Forgejo has it, a
token of the authorization server opens all that its owner may do, whatever scopes were asked for.
"""

from collections.abc import Iterable, Mapping
from secrets import token_hex, token_urlsafe
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

LIFETIME = 3600.0
MERGES = ("merge", "rebase", "rebase-merge", "squash", "fast-forward-only", "manually-merged")


class Forgejo(Forge):
    """Forgejo; `register` an application, make a `project`, and look at the `record`."""

    api_base = "/api/v1"

    def __init__(self) -> None:
        super().__init__()
        self.invalidates = False
        """Whether a refresh token is good once (INVALIDATE_REFRESH_TOKENS); by default it stays good."""

        self.keys: dict[str, str] = {}
        """Access tokens that people made themselves: whose."""

    def key(self, login: str) -> str:
        """Make an access token of *login*."""
        made = token_hex(20)
        self.keys[made] = login
        return made

    @override
    def routes(self) -> Iterable[web.RouteDef]:
        """Return the pages, the authorization server's endpoints, and the API."""
        repo = "/repos/{owner}/{repo}"
        issue, pull = f"{repo}/issues/{{index}}", f"{repo}/pulls/{{index}}"
        return [
            web.get("/login/oauth/authorize", self.authorize_page),
            web.post("/login/oauth/authorize", self.authorize),
            web.post("/login/oauth/access_token", self.token),
            self.on("GET", "/user", lambda call: (200, self._person(_login(call)))),
            self.on("GET", "/repos/issues/search", self._search),
            self.on("GET", repo, lambda call: (200, self._repository(self._seen(call)))),
            self.on("GET", f"{repo}/issues", self._issues),
            self.on("POST", f"{repo}/issues", self._create),
            self.on("GET", issue, lambda call: (200, self._issue(*self._found(call)))),
            self.on("PATCH", issue, self._edit),
            self.on("GET", f"{issue}/comments", self._comments),
            self.on("POST", f"{issue}/comments", self._comment),
            self.on("GET", f"{repo}/pulls", self._pulls),
            self.on("GET", pull, lambda call: (200, self._pull(*self._found(call, pull=True)))),
            self.on("GET", f"{pull}/reviews", self._reviews),
            self.on("POST", f"{pull}/merge", self._merge),
            self.on("GET", f"{repo}/commits/{{ref}}/status", self._status),
        ]

    @override
    async def unknown(self, request: web.Request) -> web.StreamResponse:
        """Answer to what it does not know."""
        return web.Response(text="Not found.\n", status=404)

    # ------------------------------------------------------------ OAuth

    @override
    def wrong(self, asked: Mapping[str, str]) -> web.Response | None:
        """Refuse by a page what does not fit the registration, to the letter, and the rest by the way back."""
        app = self.apps.get(asked.get("client_id", ""))
        if app is None:
            return refusal("Authorization failed", "Client ID not registered", 400)
        if asked.get("redirect_uri", "").lower() != app.callback.lower():
            return refusal("Authorization failed", "Unregistered Redirect URI", 400)
        if asked.get("response_type") != "code":
            return self.back(asked, {"error": "unsupported_response_type"})
        if asked.get("code_challenge_method", "") not in ("", "S256", "plain"):
            return self.back(asked, {"error": "invalid_request"})
        return None

    async def token(self, request: web.Request) -> web.Response:
        """Exchange a code, or a refresh token; every error has status 400."""
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.asked.append(form)
        if form.get("client_id") and "Authorization" in request.headers and not self.client(request, form):
            return _failed("invalid_request")
        app = self.client(request, form)
        if app is None:
            known = form.get("client_id") in self.apps
            return _failed("unauthorized_client" if known else "invalid_client")
        kind = form.get("grant_type")
        if kind == "authorization_code":
            found = self.redeem(app, form)
            if isinstance(found, str):
                return _failed("invalid_grant" if found == "code" else "unauthorized_client")
            return self._given(found)
        if kind == "refresh_token":
            grant = self.refreshes.get(form.get("refresh_token", ""))
            if grant is None or grant.app is not app:
                return _failed("unauthorized_client")
            if self.invalidates:
                del self.refreshes[grant.refresh]
            return self._given(grant)
        return _failed("unsupported_grant_type")

    def _given(self, grant: Grant) -> web.Response:
        made = self.issue_tokens(grant, f"ey{token_urlsafe(60)}", f"ey{token_urlsafe(60)}", LIFETIME)
        said = {"access_token": made.access, "token_type": "bearer", "expires_in": int(LIFETIME)}
        return web.json_response({**said, "refresh_token": made.refresh})

    # ------------------------------------------------------------ who asks

    @override
    def who(self, request: web.Request) -> Grant | None:
        """Take ``token`` and ``Bearer``, for a key as for a token."""
        header = request.headers.get("Authorization")
        if header is None:
            return None
        kind, _, token = header.partition(" ")
        if kind.lower() in ("token", "bearer"):
            grant = self.tokens.get(token)
            if grant is not None and grant.until >= self.now():
                return grant
            if token in self.keys:
                return Grant(self.keys[token], _PERSONAL, ())
        raise Problem(401, self._message("invalid username, password or token"))

    @override
    def has_etags(self) -> bool:
        """Return no: its API has none, and answers in full each time."""
        return False

    @override
    def bad_json(self) -> Problem:
        """Return what is said to a body that is no JSON object."""
        return Problem(422, [{"classification": "DeserializationError", "message": "invalid JSON"}])

    def _message(self, said: str) -> dict[str, Any]:
        return {"message": said, "url": f"{self.origin}/api/swagger"}

    def _missing(self) -> Problem:
        return Problem(404, {**self._message("The target couldn't be found."), "errors": []})

    def _seen(self, call: Call) -> Project:
        project = self.projects.get(f"{call.parts['owner']}/{call.parts['repo']}".lower())
        if project is None or not project.seen_by(call.login):
            raise self._missing()
        return project

    def _found(self, call: Call, *, pull: bool = False) -> tuple[Project, Issue]:
        project = self._seen(call)
        found = next((one for one in project.issues if str(one.number) == call.parts["index"]), None)
        if found is None or (pull and found.pull is None):
            raise self._missing()
        return project, found

    # ------------------------------------------------------------ what things look like

    def _person(self, login: str) -> dict[str, Any]:
        return {
            "id": person_id(login),
            "login": login,
            "full_name": login.capitalize(),
            "avatar_url": f"{self.origin}/avatars/{login}",
            "html_url": f"{self.origin}/{login}",
        }

    def _repository(self, project: Project) -> dict[str, Any]:
        return {
            "id": project.id,
            "owner": project.owner,
            "name": project.name,
            "full_name": project.path,
        }

    def _issue(self, project: Project, issue: Issue) -> dict[str, Any]:
        pull = issue.pull
        kind = "pulls" if pull else "issues"
        merged = {"merged": bool(pull.merged_by), "draft": pull.draft} if pull else None
        return {
            "id": issue.id,
            "number": issue.number,
            "title": issue.title,
            "body": issue.body,
            "state": "open" if issue.open else "closed",
            "user": self._person(issue.author),
            "assignees": [self._person(one) for one in issue.assignees] or None,
            "labels": [{"name": one} for one in issue.labels],
            "comments": len(issue.comments),
            "created_at": stamp(issue.at),
            "updated_at": stamp(issue.updated),
            "html_url": f"{self.origin}/{project.path}/{kind}/{issue.number}",
            "repository": self._repository(project),
            "pull_request": merged,
        }

    def _pull(self, project: Project, issue: Issue) -> dict[str, Any]:
        pull = issue.pull
        assert pull is not None
        made = self._issue(project, issue)
        del made["pull_request"], made["repository"]
        return {
            **made,
            "draft": pull.draft,
            "mergeable": issue.open and not pull.conflict,
            "merged": bool(pull.merged_by),
            "merged_by": self._person(pull.merged_by) if pull.merged_by else None,
            "head": {"ref": pull.source, "sha": pull.sha},
            "base": {"ref": pull.target},
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

    def _search(self, call: Call) -> Answered:
        login, query = _login(call), call.query
        found = [(one, issue) for one in self.projects.values() if one.seen_by(login) for issue in one.issues]
        if query.get("assigned") == "true":
            found = [pair for pair in found if login in pair[1].assignees]
        if query.get("created") == "true":
            found = [pair for pair in found if pair[1].author == login]
        if query.get("review_requested") == "true":
            found = [pair for pair in found if pair[1].pull and login in pair[1].pull.requested]
        return self._paged(call, found)

    def _issues(self, call: Call) -> Answered:
        project = self._seen(call)
        return self._paged(call, [(project, one) for one in project.issues])

    def _pulls(self, call: Call) -> Answered:
        project = self._seen(call)
        status, found, headers = self._paged(call, [(project, one) for one in project.issues if one.pull], pulls=True)
        return status, found, headers

    def _paged(
        self, call: Call, found: list[tuple[Project, Issue]], *, pulls: bool = False
    ) -> tuple[int, Any, Mapping[str, str]]:
        state, kind = call.query.get("state", "open"), call.query.get("type", "")
        found = [pair for pair in found if state not in ("open", "closed") or pair[1].open == (state == "open")]
        if kind in ("issues", "pulls"):
            found = [pair for pair in found if (pair[1].pull is not None) == (kind == "pulls")]
        found.sort(key=lambda pair: pair[1].updated, reverse=True)
        size, number = min(int(call.query.get("limit", "30")), 50), int(call.query.get("page", "1"))
        headers = {"X-Total-Count": str(len(found))}
        if number * size < len(found):
            following = urlencode({**call.query, "page": number + 1})
            headers["Link"] = f'<{self.origin}{self.api_base}/x?{following}>; rel="next"'
        shape = self._pull if pulls else self._issue
        return 200, [shape(*pair) for pair in found[(number - 1) * size : number * size]], headers

    def _comments(self, call: Call) -> Answered:
        _, issue = self._found(call)
        since = call.query.get("since", "")
        return 200, [self._comment_of(one) for one in issue.comments if stamp(one.at) >= since]

    def _reviews(self, call: Call) -> Answered:
        _, issue = self._found(call, pull=True)
        assert issue.pull is not None
        states = {"CHANGES_REQUESTED": "REQUEST_CHANGES", "COMMENTED": "COMMENT"}
        made = [
            {
                "id": one.id,
                "user": self._person(one.author),
                "state": states.get(one.state, one.state),
                "submitted_at": stamp(one.at),
            }
            for one in issue.pull.reviews
        ]
        return 200, made

    def _status(self, call: Call) -> Answered:
        project = self._seen(call)
        ref = call.parts["ref"]
        pull = next((one.pull for one in project.issues if one.pull and ref in (one.pull.sha, one.pull.source)), None)
        if pull is None:
            raise self._missing()
        made = [
            {"context": name, "status": outcome or "pending", "updated_at": stamp(at)}
            for name, (outcome, at) in pull.checks.items()
        ]
        return 200, {"sha": pull.sha, "state": "", "statuses": made, "total_count": len(made)}

    # ------------------------------------------------------------ changing

    def _create(self, call: Call) -> Answered:
        project = self._seen(call)
        login, title = _login(call), call.body.get("title")
        if not isinstance(title, str) or not title.strip():
            raise Problem(422, [{"fieldNames": ["title"], "classification": "RequiredError", "message": "Required"}])
        return 201, self._issue(project, self.issue(project, login, title, str(call.body.get("body") or "")))

    def _edit(self, call: Call) -> Answered:
        project, issue = self._found(call)
        login = _login(call)
        if login != issue.author and not project.written_by(login):
            raise Problem(403, self._message("user should have permission to edit this issue"))
        state = call.body.get("state")
        if state not in (None, "open", "closed"):
            raise Problem(422, self._message("invalid state"))
        if state == "open" and issue.pull and issue.pull.merged_by:
            raise Problem(412, self._message("cannot change state of this pull request, it was already merged"))
        if state:
            issue.open, issue.closed_by = state == "open", login if state == "closed" else ""
        issue.updated = self.now()
        return 201, self._issue(project, issue)

    def _comment(self, call: Call) -> Answered:
        _, issue = self._found(call)
        login, body = _login(call), call.body.get("body")
        if not isinstance(body, str) or not body:
            raise Problem(422, [{"fieldNames": ["body"], "classification": "RequiredError", "message": "Required"}])
        return 201, self._comment_of(self.say(issue, login, body))

    def _merge(self, call: Call) -> Answered:
        project, issue = self._found(call, pull=True)
        pull = issue.pull
        assert pull is not None
        login = _login(call)
        if call.body.get("Do") not in MERGES:
            raise Problem(422, [{"fieldNames": ["Do"], "classification": "RequiredError", "message": "Required"}])
        if not project.written_by(login):
            raise Problem(405, self._message("User not allowed to merge PR"))
        if not issue.open:
            raise Problem(405, self._message("The PR is already merged" if pull.merged_by else "The PR is closed"))
        if pull.draft:
            raise Problem(405, self._message("Work in progress PRs cannot be merged"))
        if call.body.get("head_commit_id") not in (None, "", pull.sha):
            raise Problem(409, self._message("head out of date"))
        if pull.conflict:
            raise Problem(409, self._message("merge conflict"))
        pull.merged_by = login
        self.close(issue, login)
        return 200, None


def _login(call: Call) -> str:
    if not call.login:
        raise Problem(401, {"message": "token is required", "url": "/api/swagger"})
    return call.login


def _failed(error: str) -> web.Response:
    return web.json_response({"error": error, "error_description": "See the documentation."}, status=400)


_PERSONAL = Forge().register("", name="an access token")
