"""How jobs and their parameters are named at Jenkins, how it says how a build went, and where its logs end.

Source: "Remote Access API" of www.jenkins.io, and the REST API of the plugin Pipeline: Stage View.  It is no
skill by itself.
"""

import html
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from omnibot import Api, Upstream, UserError, code_block, fmt, link
from skills._words import span

SHOWN = 10
"""Lines of a list, or of a log."""

_MOST_SHOWN = 50
_TAIL = 16 * 1024
"""Bytes of a log that are fetched from its end."""

_LONGEST_LINE = 200
_LONGEST_LOG = 2500
_LONGEST_NAME = 1000

_BALLS = {"blue": "PASS", "red": "FAIL", "yellow": "UNSTABLE", "aborted": "ABORTED", "disabled": "DISABLED"}
_RESULTS = {
    "SUCCESS": "passed",
    "UNSTABLE": "is unstable",
    "FAILURE": "failed",
    "ABORTED": "was aborted",
    "NOT_BUILT": "was not built",
}

_PARAMETERS = re.compile(r",\s*(?=[^=&,\s]+=|\{)")
"""The comma between a job and its parameters: a name with an equals sign follows, or JSON."""

_AND = re.compile(r"&(?=[^=&\s]+=)")
"""What parts two parameters: an ampersand within a value has no name behind it."""

_TAG = re.compile(r"<[^<>]*>")
_ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|[@-Z\\-_])")
"""A terminal's colour or movement (ECMA-48, section 5.4)."""


# ------------------------------------------------------------------------------------------ names


def job_named(said: str, base: str) -> str:
    """Return the full name of the job that is meant: ``a/b``, ``a » b``, or its address below *base*.

    Raises:
        UserError: that is no name.
    """
    said = said.strip()
    if said.startswith(f"{base}/"):
        parts = _named_in(urlsplit(said).path.removeprefix(urlsplit(base).path))
    else:
        parts = [part for part in (one.strip() for one in re.split("[/»]", said)) if part]
    if not parts or len(said) > _LONGEST_NAME or any(one in (".", "..") or not one.isprintable() for one in parts):
        raise UserError("That is no job's name. Write `job`, or `folder/job`, or a number of the list.")
    return "/".join(parts)


def _named_in(path: str) -> list[str]:
    """Return the names in the *path* of a job's page, or of one below it."""
    parts = [part for part in path.split("/") if part]
    while parts[:1] == ["view"]:
        parts = parts[2:]
    names = []
    while parts[:1] == ["job"] and len(parts) > 1:
        names.append(unquote(parts[1]))
        parts = parts[2:]
    return names


def job_path(name: str) -> str:
    """Return the path of the job, or folder, of that full name; empty for the root."""
    return "".join(f"/job/{quote(part, safe='')}" for part in name.split("/")) if name else ""


def job_link(api: Api, name: str, number: int | None = None) -> str:
    """Return the name of a job, or of one of its builds, as a link to its page."""
    if number is None:
        return link(name, api.url(job_path(name) + "/"))
    return link(f"{name} #{number}", api.url(f"{job_path(name)}/{number}/"))


# ------------------------------------------------------------------------------------------ parameters


def split_parameters(said: str) -> tuple[str, str]:
    """Return the job that is meant, and what is said of its parameters."""
    found = _PARAMETERS.search(said)
    return (said[: found.start()], said[found.end() :]) if found else (said, "")


def read_parameters(said: str) -> dict[str, str]:
    """Return the parameters in ``k=v&k2=v2``, or in JSON, as they stand: nothing in a value is decoded.

    Raises:
        UserError: it is neither, or one is there twice.
    """
    said = said.strip()
    if said.startswith("{"):
        return _read_json(said)
    given: dict[str, str] = {}
    for pair in _AND.split(said) if said else ():
        name, equals, value = pair.partition("=")
        name = name.strip()
        if not name or not equals:
            raise UserError(fmt("I do not understand {}. Write parameters as `name=value&other=value`.", pair.strip()))
        if name in given:
            raise UserError(fmt("The parameter {} is there twice.", name))
        given[name] = value
    return given


def _read_json(said: str) -> dict[str, str]:
    try:
        found = json.loads(said)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(one, str | int | float) for one in found.values()):
        raise UserError('Those parameters are no JSON that I understand. Write them as `{"name": "value"}`.')
    return {name: json.dumps(one) if not isinstance(one, str) else one for name, one in found.items()}


def definitions(job: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the parameters that *job* takes, by name."""
    listed = [one for each in job.get("property") or () for one in each.get("parameterDefinitions") or ()]
    return {one["name"]: one for one in listed}


def check_parameters(name: str, known: Mapping[str, Mapping[str, Any]], given: Mapping[str, str]) -> None:
    """Refuse what Jenkins would drop without a word, or break at.

    Raises:
        UserError: the job called *name* has no such parameter, or the value is none of its choices.
    """
    for said, value in given.items():
        if said not in known:
            has = f"It takes {', '.join(known)}." if known else "It takes none."
            raise UserError(fmt("{} has no parameter {}. {}", name, said, has))
        choices = known[said].get("choices")
        if choices and value not in choices:
            raise UserError(fmt("{} is one of: {}.", said, ", ".join(map(str, choices))))


# ------------------------------------------------------------------------------------------ how it went


def state(color: str) -> str:
    """Return in a word what a job's ball shows."""
    plain = color.removesuffix("_anime")
    return _BALLS.get(plain, "NOT BUILT") + (", RUNNING" if plain != color else "")


def result(build: Mapping[str, Any]) -> str:
    """Return how *build* went, and how long that took: ``failed after 3 min 20 s``."""
    if build.get("building"):
        return "is running"
    return f"{_RESULTS.get(str(build.get('result')), 'ended')} after {span(build.get('duration', 0) / 1000)}"


def starters(thing: Mapping[str, Any]) -> list[str]:
    """Return the ids of those who asked for a build, or an item of the queue."""
    causes = [one for each in thing.get("actions") or () for one in each.get("causes") or ()]
    return [one["userId"] for one in causes if one.get("userId")]


# ------------------------------------------------------------------------------------------ logs


async def console(api: Api, build: str, lines: int = SHOWN) -> str | None:
    """Return the last *lines* of the console of the build at that path; None if there is no such build.

    How long it is tells ``X-Text-Size``, so that of a long one only the end is fetched.
    """
    path = f"{build}/logText/progressiveText"
    head = await api.send("HEAD", path, params={"start": 0}, expect=(404,))
    if head.status == 404:
        return None
    size = head.headers.get("x-text-size", "")
    start = max(0, int(size) - _TAIL) if size.isascii() and size.isdigit() else 0
    said = (await api.send("GET", path, params={"start": start})).text
    return tail(said.partition("\n")[2] if start else said, lines)


async def failing(api: Api, build: str) -> tuple[str, str]:
    """Return the stage at which a build failed, and the last lines of its log; of the console where there is none."""
    stage = said = ""
    try:
        run = await api.send("GET", f"{build}/wfapi/describe", expect=(404,))
        bad = _failed(run.data.get("stages")) if run.status == 200 and isinstance(run.data, dict) else []
        if bad:  # what comes after it is said to have failed as well
            stage, said = str(bad[0].get("name", "")), await _stage_log(api, build, bad[0])
        said = said or await console(api, build) or ""
    except Upstream:  # how it ended is to be told in any case
        pass
    return stage, said


async def _stage_log(api: Api, build: str, stage: Mapping[str, Any]) -> str:
    """Return the last lines of the step that failed in *stage*; Jenkins shows the last 10 KiB of it, as HTML."""
    nodes = f"{build}/execution/node"
    found = await api.get(f"{nodes}/{int(stage['id'])}/wfapi/describe")
    steps = _failed(found.get("stageFlowNodes"))
    if not steps:
        return ""
    log = await api.get(f"{nodes}/{int(steps[-1]['id'])}/wfapi/log")
    return tail(html.unescape(_TAG.sub("", log.get("text") or "")))


def _failed(nodes: Any) -> list[Mapping[str, Any]]:
    return [one for one in nodes or () if one.get("status") == "FAILED" and str(one.get("id")).isdecimal()]


def tail(text: str, lines: int = SHOWN) -> str:
    """Return the last *lines* of *text* that have something on them, without a terminal's colours."""
    kept = [one.rstrip()[:_LONGEST_LINE] for one in _ESCAPE.sub("", text).splitlines() if one.strip()]
    kept = kept[-min(lines, _MOST_SHOWN) :]
    while len(kept) > 1 and sum(map(len, kept)) > _LONGEST_LOG:
        kept.pop(0)
    return "\n".join(kept)


def shown_log(text: str) -> str:
    """Return *text* as a code block; nothing, where there is none."""
    return code_block(text) if text else ""
