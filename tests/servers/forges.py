"""What the stand-ins for GitHub, GitLab and Forgejo share: projects, OAuth's pages and tokens, and a record.

None of this is any of the three: how they are spoken to, and what they refuse, stands in their own files.
"""

import base64
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from secrets import token_hex, token_urlsafe
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from servers.standin import PEOPLE, StandIn, consent_page, page, signed_in

CODE_LIFE = 600.0
"""Seconds a code is good for."""

type Roles = Mapping[str, str]
"""What a login may do in a project: ``read`` or ``write``."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the record: who did what, through which application, and what became of it."""

    actor: str
    """The login; empty where nobody was signed in."""

    app: str
    action: str
    """Method and path, without the query."""

    status: int


@dataclass(eq=False)
class Application:
    """A client that somebody has registered."""

    name: str
    client_id: str
    client_secret: str = field(repr=False)
    callback: str
    scopes: frozenset[str] = frozenset()
    """What it may ask for, where the forge lets that be chosen at registration."""


@dataclass(eq=False)
class Grant:
    """A code, or the tokens that came of it: who allowed what to whom."""

    login: str
    app: Application
    scopes: tuple[str, ...]
    redirect_uri: str = ""
    challenge: str = field(default="", repr=False)
    until: float = float("inf")
    access: str = field(default="", repr=False)
    refresh: str = field(default="", repr=False)


@dataclass(eq=False)
class Comment:
    """What somebody said."""

    id: int
    author: str
    body: str
    at: float


@dataclass(eq=False)
class Review:
    """What somebody thinks of a pull request: ``APPROVED``, ``CHANGES_REQUESTED`` or ``COMMENTED``."""

    id: int
    author: str
    state: str
    at: float


@dataclass(eq=False)
class Pull:
    """What an issue has more if it is a pull request, or what makes a merge request."""

    source: str
    target: str = "main"
    sha: str = field(default_factory=lambda: token_hex(20))
    draft: bool = False
    conflict: bool = False
    merged_by: str = ""
    requested: list[str] = field(default_factory=list)
    reviews: list[Review] = field(default_factory=list)
    checks: dict[str, tuple[str, float]] = field(default_factory=dict)
    """By name: the outcome, empty while it runs, and since when."""


@dataclass(eq=False)
class Issue:
    """An issue, or a pull request."""

    id: int
    number: int
    title: str
    body: str
    author: str
    at: float
    updated: float
    open: bool = True
    closed_by: str = ""
    labels: list[str] = field(default_factory=list)
    assignees: list[str] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)
    pull: Pull | None = None


@dataclass(eq=False)
class Run:
    """A workflow's run."""

    id: int
    workflow: str
    branch: str
    actor: str
    at: float
    inputs: Mapping[str, str] = field(default_factory=dict)
    status: str = "queued"
    conclusion: str | None = None


@dataclass(eq=False)
class Project:
    """A repository and what belongs to it."""

    id: int
    path: str
    """``owner/name``; at GitLab there may be more before the name."""

    private: bool = False
    roles: Roles = field(default_factory=dict)
    issues: list[Issue] = field(default_factory=list)
    labels: list[str] = field(default_factory=lambda: ["bug", "question"])
    workflows: dict[str, bool] = field(default_factory=dict)
    """By file name: whether it may be started by hand."""

    runs: list[Run] = field(default_factory=list)
    release: Mapping[str, str] | None = None

    @property
    def owner(self) -> str:
        """What stands before the name."""
        return self.path.rpartition("/")[0]

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    def seen_by(self, login: str) -> bool:
        """Whether *login* may know of it."""
        return not self.private or login in self.roles

    def written_by(self, login: str) -> bool:
        """Whether *login* may change what is not theirs."""
        return self.roles.get(login) == "write"


class Problem(Exception):
    """An answer that is none: the status, and what the forge's own form of it holds."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True)
class Call:
    """One request of the API: who asks, with what, for what."""

    login: str
    grant: Grant | None
    parts: Mapping[str, str]
    """What stood in the path."""

    query: Mapping[str, str]
    body: Mapping[str, Any]
    headers: Mapping[str, str]


type Answered = tuple[int, Any] | tuple[int, Any, Mapping[str, str]]
"""Status, data (None: nothing), and headers."""

type Handler = Callable[[Call], Answered]


class Forge(StandIn):
    """Projects, the people of `PEOPLE`, and an authorization server; a subclass speaks one forge's language."""

    pulls_apart = False
    """Whether pull requests are counted by themselves."""

    api_base = ""
    no = "Cancel"
    """What the button says that refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.record: list[Entry] = []
        """Who did what, in order: every request of the API."""

        self.projects: dict[str, Project] = {}
        self.apps: dict[str, Application] = {}
        self.codes: dict[str, Grant] = {}
        self.tokens: dict[str, Grant] = {}
        self.refreshes: dict[str, Grant] = {}
        self.asked: list[Mapping[str, str]] = []
        """The form of each request for a token."""

        self.not_modified = 0
        """How often the answer was 304."""

        self._ahead = 0.0
        self._last_id = 100

    # ------------------------------------------------------------ the world

    def now(self) -> float:
        """Return the time there, in Unix seconds."""
        return time.time() + self._ahead

    def pass_(self, seconds: float) -> None:
        """Let time pass there."""
        self._ahead += seconds

    def next_id(self) -> int:
        """Return a number that nothing has."""
        self._last_id += 1
        return self._last_id

    def register(self, callback: str, *, name: str = "omnibot", scopes: Sequence[str] = ()) -> Application:
        """Register a client that sends people back to *callback*."""
        made = Application(name, token_hex(10), token_urlsafe(30), callback, frozenset(scopes))
        self.apps[made.client_id] = made
        return made

    def project(self, path: str, *, private: bool = False, **roles: str) -> Project:
        """Make a project, in which each login has the role ``read`` or ``write``."""
        made = self.projects[path.lower()] = Project(self.next_id(), path, private, roles)
        return made

    def issue(self, project: Project, author: str, title: str, body: str = "", *, pull: Pull | None = None) -> Issue:
        """Let *author* open an issue, or a pull request."""
        same = [one for one in project.issues if not self.pulls_apart or (one.pull is None) == (pull is None)]
        made = Issue(self.next_id(), len(same) + 1, title, body, author, self.now(), self.now(), pull=pull)
        project.issues.append(made)
        return made

    def say(self, issue: Issue, author: str, body: str) -> Comment:
        """Let *author* comment."""
        made = Comment(self.next_id(), author, body, self.now())
        issue.comments.append(made)
        issue.updated = self.now()
        return made

    def close(self, issue: Issue, login: str) -> None:
        """Let *login* close *issue*."""
        issue.open, issue.closed_by, issue.updated = False, login, self.now()

    def review(self, issue: Issue, author: str, state: str) -> Review:
        """Let *author* review a pull request."""
        assert issue.pull is not None
        made = Review(self.next_id(), author, state, self.now())
        issue.pull.reviews.append(made)
        issue.updated = self.now()
        return made

    def check(self, issue: Issue, name: str, outcome: str) -> None:
        """Let the check *name* of a pull request end as *outcome*, or begin if that is empty."""
        assert issue.pull is not None
        issue.pull.checks[name] = (outcome, self.now())

    def acts(self, login: str, *, changes: bool = False) -> list[str]:
        """Return what *login* has done, as the record has it; with *changes*, without what only read."""
        own = [one for one in self.record if one.actor == login]
        return [f"{one.action} {one.status}" for one in own if not changes or not one.action.startswith("GET")]

    # ------------------------------------------------------------ the browser's side

    def wrong(self, asked: Mapping[str, str]) -> web.Response | None:
        """Return what an authorization request gets that is no good; None if it is."""
        raise NotImplementedError

    def code_for(self, login: str, asked: Mapping[str, str]) -> str:
        """Return a code for what *login* has allowed."""
        code = token_urlsafe(20)
        self.codes[code] = Grant(
            login,
            self.apps[asked["client_id"]],
            self.granted(asked.get("scope", "")),
            asked.get("redirect_uri", ""),
            asked.get("code_challenge", ""),
            self.now() + CODE_LIFE,
        )
        return code

    def granted(self, asked: str) -> tuple[str, ...]:
        """Return the scopes that are granted where *asked* are."""
        return tuple(dict.fromkeys(asked.split()))

    async def authorize_page(self, request: web.Request) -> web.Response:
        """Ask who is there whether they allow it."""
        asked = dict(request.query)
        return self.wrong(asked) or self._consent(request.path, asked)

    async def authorize(self, request: web.Request) -> web.Response:
        """Send the browser back with a code, or with a no."""
        form = {name: str(value) for name, value in (await request.post()).items()}
        asked = {name: value for name, value in form.items() if name not in ("login", "password", "do")}
        if wrong := self.wrong(asked):
            return wrong
        if form.get("do") == "no":
            said = {"error": "access_denied", "error_description": "The user has denied your application access."}
            return self.back(asked, said)
        login = signed_in(form)
        if not login:
            return self._consent(request.path, asked, "Incorrect username or password.")
        return self.back(asked, {"code": self.code_for(login, asked)})

    def back(self, asked: Mapping[str, str], said: Mapping[str, str]) -> web.Response:
        """Return the way back to the application, with what is *said*."""
        target = asked.get("redirect_uri") or self.apps[asked["client_id"]].callback
        state = {"state": asked["state"]} if "state" in asked else {}
        return web.Response(status=302, headers={"Location": f"{target}?{urlencode({**said, **state})}"})

    def _consent(self, action: str, asked: Mapping[str, str], said: str = "") -> web.Response:
        return consent_page(f"Authorize {self.apps[asked['client_id']].name}", action, asked, self.no, said)

    # ------------------------------------------------------------ the client's side

    def client(self, request: web.Request, form: Mapping[str, str]) -> Application | None:
        """Return who sends *request*, by HTTP Basic or by what is in *form*; None if that is not proven."""
        name, secret = form.get("client_id", ""), form.get("client_secret", "")
        header = request.headers.get("Authorization", "")
        if header.startswith("Basic "):
            try:
                name, _, secret = base64.b64decode(header.removeprefix("Basic "), validate=True).decode().partition(":")
            except ValueError:
                return None
        app = self.apps.get(name)
        return app if app is not None and app.client_secret == secret else None

    def redeem(self, app: Application, form: Mapping[str, str]) -> Grant | str:
        """Return the grant behind the code in *form*; or what is wrong: ``code``, ``redirect_uri``, ``verifier``."""
        grant = self.codes.get(form.get("code", ""))
        if grant is None or grant.app is not app or grant.until < self.now():
            return "code"
        if grant.redirect_uri != form.get("redirect_uri", grant.redirect_uri):
            return "redirect_uri"
        if grant.challenge and challenge_of(form.get("code_verifier", "")) != grant.challenge:
            return "verifier"
        del self.codes[form["code"]]
        return grant

    def issue_tokens(self, grant: Grant, access: str, refresh: str = "", lifetime: float | None = None) -> Grant:
        """Return the grant with the tokens given, which are good from now on."""
        until = float("inf") if lifetime is None else self.now() + lifetime
        made = Grant(grant.login, grant.app, grant.scopes, grant.redirect_uri, "", until, access, refresh)
        self.tokens[access] = made
        if refresh:
            self.refreshes[refresh] = made
        return made

    def end(self, grant: Grant) -> None:
        """Make the tokens of *grant* void."""
        self.tokens.pop(grant.access, None)
        self.refreshes.pop(grant.refresh, None)

    def live(self, login: str) -> list[str]:
        """Return the access tokens of *login* that are good."""
        return [one for one, grant in self.tokens.items() if grant.login == login]

    # ------------------------------------------------------------ the API

    def on(self, method: str, path: str, handler: Handler) -> web.RouteDef:
        """Return the route of the API at *path*, below its base."""

        async def answer(request: web.Request) -> web.StreamResponse:
            return await self.called(request, handler)

        return web.route(method, self.api_base + path, answer)

    async def called(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a *request* of the API by *handler*, and write it down."""
        grant: Grant | None = None
        try:
            grant = self.who(request)
            body = await self._body(request)
            call = Call(grant.login if grant else "", grant, request.match_info, request.query, body, request.headers)
            status, data, *more = handler(call)
            headers = dict(more[0]) if more else {}
        except Problem as problem:
            status, data, headers = problem.status, problem.body, problem.headers
        self._write(request, grant, status)
        headers = {**self.headers(grant), **headers}
        return self._answer(request, status, data, headers)

    def who(self, request: web.Request) -> Grant | None:
        """Return whose token *request* carries; None if it carries none.

        Raises:
            Problem: it is not good.
        """
        raise NotImplementedError

    def headers(self, grant: Grant | None) -> dict[str, str]:
        """Return the headers of every answer of the API."""
        return {}

    def has_etags(self) -> bool:
        """Whether what did not change is answered with 304."""
        return True

    def bad_json(self) -> Problem:
        """Return what is said to a body that is no JSON object."""
        raise NotImplementedError

    async def _body(self, request: web.Request) -> Mapping[str, Any]:
        raw = await request.read()
        if not raw:
            return {}
        if request.content_type == "application/x-www-form-urlencoded":
            return {name: str(value) for name, value in (await request.post()).items()}
        try:
            body = json.loads(raw)
        except ValueError:
            raise self.bad_json() from None
        if not isinstance(body, dict):
            raise self.bad_json()
        return body

    def _write(self, request: web.Request, grant: Grant | None, status: int) -> None:
        action = f"{request.method} {request.rel_url.raw_path.removeprefix(self.api_base)}"
        self.record.append(Entry(grant.login if grant else "", grant.app.name if grant else "", action, status))

    def _answer(self, request: web.Request, status: int, data: Any, headers: dict[str, str]) -> web.Response:
        if data is None:
            return web.Response(status=status, headers=headers)
        if isinstance(data, str):
            return web.Response(status=status, text=data, headers=headers)
        body = json.dumps(data).encode()
        if request.method == "GET" and status == 200 and self.has_etags():
            tag = f'W/"{hashlib.sha256(body).hexdigest()}"'
            headers["ETag"] = tag
            if request.headers.get("If-None-Match") == tag or headers.pop("-not-modified", ""):
                self.not_modified += 1
                return web.Response(status=304, headers=headers)
        return web.Response(status=status, body=body, headers=headers, content_type="application/json")


def refusal(title: str, said: str, status: int = 400) -> web.Response:
    """Return the page of an authorization request that is no good and leads nowhere."""
    return page(title, f"<p>{said}</p>", status)


def challenge_of(verifier: str) -> str:
    """Return the S256 challenge of *verifier* (RFC 7636 section 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def stamp(at: float) -> str:
    """Return *at* as GitHub and Forgejo write it, in whole seconds."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def person_id(login: str) -> int:
    """Return the number of *login*."""
    return PEOPLE.index(login) + 1
