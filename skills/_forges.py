"""What the skills for GitHub, GitLab and Forgejo share: things, their names, and how they are told.

A `Forge` knows one service's paths and fields and turns them into a `Thing`.  It is no skill by itself.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from omnibot import (
    Api,
    FollowContext,
    UserError,
    code,
    escape,
    fmt,
    link,
)

LISTED = 10
"""Lines of a list; one more is asked for, to know that there are more."""

COMMENTS = 5
LONGEST = 1500
LONGEST_NEWS = 300
LONGEST_TITLE = 80
MOST_TOLD = 900
"""Characters of what is told of something that is followed: more would be cut elsewhere."""


type Kind = Literal["issues", "pulls", "reviews"]
"""What is listed: issues, pull requests, or those whose review is asked of one."""

type State = Literal["open", "closed", "merged"]

_NAME = r"[A-Za-z0-9_.-]+"
_PROJECT = re.compile(rf"{_NAME}(/{_NAME})+")
_SHORT = re.compile(rf"({_NAME}(?:/{_NAME})+)([#!])([0-9]{{1,9}})")
_ADDRESS = re.compile(
    rf"({_NAME}(?:/{_NAME})+?)(?:/-)?/(issues|pulls?|merge_requests)/([0-9]{{1,9}})(?:[/?#].*)?", re.DOTALL
)
_API = re.compile(r"/api/v[0-9]+/?$")


@dataclass(frozen=True, slots=True)
class Reference:
    """An issue or a pull request, as it was named."""

    project: str
    number: int
    pull: bool = False
    """Whether it was named as a pull request; where both are counted together it may be one all the same.

    Of something that is followed, whether it is one.
    """

    @property
    def short(self) -> str:
        """How people write it: ``acme/site#12``."""
        return f"{self.project}{'!' if self.pull else '#'}{self.number}"


@dataclass(frozen=True, slots=True)
class Thing:
    """An issue or a pull request."""

    name: str
    """``acme/site#12``."""

    title: str
    url: str
    author: str
    state: State
    updated: float
    """Unix seconds."""

    pull: bool = False
    ended_by: str = ""
    """Who closed or merged it, where the forge says so."""

    body: str = ""
    draft: bool = False
    blocked: str = ""
    """Why it cannot be merged, where the forge says so."""

    sha: str = ""
    labels: tuple[str, ...] = ()
    assignees: tuple[str, ...] = ()
    comments: int = 0

    @property
    def link(self) -> str:
        """Its name, as a link to its page."""
        return link(self.name, self.url)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a thing."""

    at: float
    """Unix seconds."""

    by: str
    """A login; empty for what nobody in particular did."""

    text: str
    """What is told: "grace approves it"; as it came, not yet Markdown."""

    link: str = ""
    """What stands before that: Markdown."""


class Forge(Protocol):
    """What a service that hosts repositories is asked, in its own paths and fields."""

    provider: str
    merges: tuple[str, ...]
    """The ways in which it merges."""

    pull: str
    """What it calls a pull request."""

    pulls: str
    """The word that lists them."""

    reads: tuple[str, ...]
    """Scopes that reading wants."""

    writes: tuple[str, ...]
    """Scopes that changing something wants."""

    async def mine(self, api: Api, kind: Kind) -> list[Thing]:
        """Return the open ones that concern the person, those changed last first."""
        ...

    async def of(self, api: Api, project: str, kind: Kind) -> list[Thing]:
        """Return the open ones of *project*, those changed last first."""
        ...

    async def thing(self, api: Api, what: Reference) -> Thing:
        """Return it, with all that can be known of it."""
        ...

    async def changed(self, ctx: FollowContext, what: Reference) -> Thing | None:
        """Return it, or None if nothing has changed since the last look."""
        ...

    async def comments(self, api: Api, thing: Thing, what: Reference) -> list[Event]:
        """Return the newest comments, the newest last."""
        ...

    async def events(self, api: Api, thing: Thing, what: Reference) -> list[Event]:
        """Return what reviews and checks have said, in any order."""
        ...

    async def create(self, api: Api, project: str, title: str, body: str) -> Thing:
        """Open an issue."""
        ...

    async def comment(self, api: Api, what: Reference, text: str) -> None:
        """Say something."""
        ...

    async def turn(self, api: Api, what: Reference, *, to_open: bool) -> Thing:
        """Open or close it."""
        ...

    async def merge(self, api: Api, what: Reference, thing: Thing, how: str) -> None:
        """Merge it, if it still is as *thing* shows it."""
        ...


# ------------------------------------------------------------------------------------------ words


def told(head: str, events: Sequence[Event]) -> str:
    """Return *head*, which is Markdown, and a line for each of the *events*, the newest last; of many, the last."""
    lines = [_news(one) for one in events]
    shown = list[str]()
    for line in reversed(lines):
        if shown and len("\n".join([head, line, *shown])) > MOST_TOLD:
            break
        shown.insert(0, line)
    more = [f"- … and {len(lines) - len(shown)} more before"] if len(lines) > len(shown) else []
    return "\n".join([head, *more, *shown])


def unsaid(events: Iterable[Event], since: float, said: str) -> list[Event]:
    """Return the *events* after *since*, oldest first, that come after what was *said* last by `told`."""
    after = sorted((one for one in events if one.at > since), key=lambda one: one.at)
    last = said.rsplit("\n", 1)[-1]
    # The first that reads so: should a later one read the same, something is told twice, and nothing is lost.
    place = next((place for place, one in enumerate(after) if _news(one) == last), -1)
    return after[place + 1 :]


def _news(event: Event) -> str:
    """Return the line that tells of *event*."""
    text = cut(event.text, LONGEST_NEWS)
    return fmt("- {} {}", event.link, text) if event.link else fmt("- {}", text)


def listed(found: Sequence[Thing], none: str) -> str:
    """Return a line for each thing *found*, cut at `LISTED`; *none* if there is nothing."""
    lines = [_line(one) for one in found[:LISTED]]
    if len(found) > LISTED:
        lines.append("… and more")
    return "\n".join(lines) or none


def _line(thing: Thing) -> str:
    parts = [f"by {thing.author}", *(["draft"] if thing.draft else []), *thing.labels]
    return fmt("- {} {} ({})", thing.link, thing.title, ", ".join(parts))


def shown(thing: Thing, comments: Sequence[Event]) -> str:
    """Return *thing* with its text and its last *comments*."""
    who = [f"by {thing.author}", *(["for " + ", ".join(thing.assignees)] if thing.assignees else [])]
    state = "draft" if thing.draft and thing.state == "open" else thing.state
    lines = [
        fmt("{}: **{}**", thing.link, thing.title),
        fmt("{}", ", ".join([state, *who, *thing.labels])),
    ]
    if thing.blocked and thing.state == "open":
        lines.append(fmt("It cannot be merged: {}.", thing.blocked))
    if thing.body.strip():
        lines.append(escape(cut(thing.body, LONGEST)))
    return "\n".join([*lines, *(fmt("- {}", cut(one.text, LONGEST_NEWS)) for one in comments[-COMMENTS:])])


def cut(text: str, longest: int) -> str:
    """Return *text*, at most so long."""
    return text if len(text) <= longest else text[:longest] + " …"


def verdict(who: str, state: str) -> str:
    """Return what *who* thinks of a pull request."""
    known = {"approved": "approves it", "changes_requested": "wants changes", "request_changes": "wants changes"}
    return f"{who} {known.get(state.lower(), 'has reviewed it')}"


def outcome(checks: Mapping[str, bool]) -> str:
    """Return how the *checks* have ended; True is a good end."""
    bad = [name for name, good in checks.items() if not good]
    if not bad:
        return "all checks passed" if len(checks) != 1 else f"the check passed: {next(iter(checks))}"
    return f"{len(bad)} of {len(checks)} checks failed: {', '.join(bad[:3])}{' …' if len(bad) > 3 else ''}"


# ------------------------------------------------------------------------------------------ names


def project_named(said: str) -> str:
    """Return the project's path that was *said*.

    Raises:
        UserError: it is none.
    """
    path = said.strip().strip("/")
    if not _PROJECT.fullmatch(path) or _climbs(path):
        raise UserError(fmt("{} is not a project. Write owner/name, as in its address.", code(said.strip() or "…")))
    return path


def reference(said: str, api: Api) -> Reference:
    """Return what was *said*: ``acme/site#12``, or an address of the service behind *api*.

    Raises:
        UserError: it is neither.
    """
    text, site = said.strip().strip("<>"), site_of(api)
    if text.startswith(("https://", "http://")):
        if not text.startswith(f"{site}/"):
            raise UserError(f"That address is not at {site}, where your account is.")
        found = _ADDRESS.fullmatch(text.removeprefix(f"{site}/"))
        if found and not _climbs(found[1]):
            return Reference(found[1], int(found[3]), found[2] != "issues")
    elif (short := _SHORT.fullmatch(text)) and not _climbs(short[1]):
        return Reference(short[1], int(short[3]), short[2] == "!")
    raise UserError(fmt("{} is not an issue. Write owner/name#12, or its whole address.", code(text or "…")))


def site_of(api: Api) -> str:
    """Return where people find the service behind *api*, without a slash at the end."""
    address = api.url("/").rstrip("/")
    site = _API.sub("", address)
    return site.replace("://api.", "://", 1) if site == address else site


def moment(said: object) -> float:
    """Return the Unix seconds of what a service *said* of a time; 0 where it said none."""
    try:
        return datetime.fromisoformat(str(said)).timestamp()
    except ValueError:
        return 0.0


def _climbs(path: str) -> bool:
    return any(part in (".", "..") for part in path.split("/"))
