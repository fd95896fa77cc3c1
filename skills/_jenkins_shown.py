"""What the skill for Jenkins answers with: lists, and how builds went; for people, and for other skills.

It is no skill by itself.
"""

import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from omnibot import LinkedContext, code, escape, fmt
from skills import _jenkins as at
from skills._words import span

_LONGEST = 500
_MOST_JOBS = 1000
_JOBS = "jobs[fullName,color,{}]{{,500}}"
TREE = _JOBS.format(_JOBS.format(_JOBS.format("jobs[fullName,color]{,500}")))
"""What lies up to three folders deep."""


@dataclass(frozen=True, slots=True)
class Queued:
    """A build that Jenkins has taken into its queue."""

    job: str
    """Full name: ``folder/job``."""

    item: int
    """Its number in the queue."""

    text: str = field(repr=False)

    def __str__(self) -> str:
        """Return what the person is told."""
        return self.text


@dataclass(frozen=True, slots=True)
class Listed:
    """Jobs, or what lies in a folder."""

    names: tuple[str, ...]
    """Full names, of all that was found, in the order of their numbers; a folder's ends with a slash."""

    text: str = field(repr=False)

    def __str__(self) -> str:
        """Return what the person is told."""
        return self.text


@dataclass(frozen=True, slots=True)
class Build:
    """A build of a job."""

    job: str
    number: int
    building: bool
    result: str
    """As Jenkins calls it: ``SUCCESS``, ``FAILURE``…; empty while it runs."""

    url: str
    text: str = field(repr=False)

    def __str__(self) -> str:
        """Return what the person is told."""
        return self.text


def flat(jobs: Collection[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Give jobs and folders, and what lies in these."""
    for one in jobs:
        yield one
        yield from flat(one.get("jobs") or ())


def fits(name: str, wanted: str) -> bool:
    """Whether *name* holds *wanted*, or is as its stars say; in time that grows with both, whatever they are."""
    first, *rest = wanted.lower().split("*")
    name = name.lower()
    if not rest:
        return first in name
    *middle, end = rest
    if not name.startswith(first):
        return False
    place = len(first)
    for piece in middle:
        found = name.find(piece, place)
        if found < 0:
            return False
        place = found + len(piece)
    return len(name) - len(end) >= place and name.endswith(end)


def listed(ctx: LinkedContext, found: Collection[dict[str, Any]], page: int, none: str, again: str) -> Listed:
    """Return ten lines of what was *found*; all of it has numbers."""
    names = tuple(one["fullName"] + ("" if "color" in one else "/") for one in found)[:_MOST_JOBS]
    ctx.number(names)
    first = (max(1, page) - 1) * at.SHOWN
    shown = list(zip(range(first + 1, len(names) + 1), list(found)[first : first + at.SHOWN], strict=False))
    lines: list[str] = [f"- `{number}` {_line(one)}" for number, one in shown]
    if not names:
        lines.append(escape(none))
    elif not lines:
        lines.append(f"There is no page {page}; there are {len(names)} in all.")
    elif (left := len(names) - first - len(lines)) > 0:
        more = code(f"{ctx.prefix}jenkins {again.strip()} --page {max(1, page) + 1}")
        lines.append(fmt("… and {} more: {}", left, more))
    return Listed(names, "\n".join(lines))


def _line(one: Mapping[str, Any]) -> str:
    if "color" not in one:
        return fmt("{}/", one["fullName"])
    return fmt("**{}** {}", at.state(one["color"]), one["fullName"])


def told(ctx: LinkedContext, name: str, build: Mapping[str, Any]) -> str:
    """Return how *build* went, and when it began."""
    ago = span(time.time() - build.get("timestamp", 0) / 1000)
    return fmt("{} {}; it began {} ago.", at.job_link(ctx.api, name, build["number"]), at.result(build), ago)


def parameter(one: Mapping[str, Any]) -> str:
    """Return a parameter as ``NAME=default (choice|choice)``."""
    default = (one.get("defaultParameterValue") or {}).get("value")
    choices = f" ({'|'.join(map(str, one['choices']))})" if one.get("choices") else ""
    shown = str(default).lower() if isinstance(default, bool) else default
    return str(one["name"]) + (f"={cut(str(shown), 60)}" if shown not in (None, "") else "") + choices


def cut(text: str, most: int = _LONGEST) -> str:
    """Return *text* on one line, with *most* characters."""
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"
