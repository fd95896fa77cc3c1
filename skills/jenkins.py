"""Your jobs at Jenkins: list, describe, build with parameters, follow to the end, read the console, abort.

Source: "Remote Access API" of www.jenkins.io, and the ``api`` pages of a Jenkins itself.
"""

import re
from collections.abc import Mapping
from typing import Any

from omnibot import (
    Assurance,
    Context,
    FollowContext,
    LinkedContext,
    Progress,
    Response,
    Skill,
    UserError,
    code,
    fmt,
    link,
)
from skills import _jenkins as at
from skills._jenkins_shown import TREE, Build, Listed, Queued, cut, fits, flat, listed, parameter, told

skill = Skill("jenkins", aliases=["j"])

_DAY = 86400.0
_LOOK_SECONDS = 5.0
_LONGEST_TITLE = 60
_PARTED = (302, 303)
"""Jenkins leads on to the page of what it has done: where it waits in the queue, or the build that was stopped."""

_NUMBER = re.compile(r"#?([0-9]{1,4})")
_ITEM = re.compile(r"/queue/item/([0-9]{1,18})/?")
_BUILD = "number,queueId,building,result,duration,timestamp"
_PARAMETERS = "property[parameterDefinitions[name,type,choices,defaultParameterValue[value]]]"


# ------------------------------------------------------------------------------------------ linking


@skill.command(minimum=Assurance.ACCOUNT, secret="key")  # noqa: S106 - the parameter's name
async def set_auth(ctx: Context, key: str = "") -> str:
    """Connect your Jenkins account, by user name and API token.

    Say it in private; without the key you get a private link to a form for it.  Where there are
    several, name the one you mean: `jenkins@work set auth`.

    Args:
        key: user:apitoken; in private only
    """
    key = key.strip()
    if key and not all(key.partition(":")):
        raise UserError(f"I need both, with a colon between: `{ctx.prefix}jenkins set auth user:apitoken`.")
    return await ctx.accounts.link(f"jenkins@{ctx.selector}" if ctx.selector else "jenkins", key)


# ------------------------------------------------------------------------------------------ looking


@skill.linked("jenkins")
async def list_(ctx: LinkedContext, filter: str = "", *, page: int = 1) -> Listed:  # noqa: A002 - what people type
    """List the jobs that you may see, in folders as well.

    Args:
        filter: part of a name; or a pattern, where `*` stands for anything
        page: which ten of them
    """
    found = (await ctx.api.get("/api/json", tree=TREE)).get("jobs") or ()
    jobs = [one for one in flat(found) if "color" in one and fits(one["fullName"], filter.strip())]
    none = fmt("There is no job {} that you may see.", filter.strip()) if filter.strip() else "There is no job for you."
    return listed(ctx, jobs, page, none, "list " + filter.strip())


@skill.linked("jenkins")
async def ls(ctx: LinkedContext, folder: str = "", *, page: int = 1) -> Listed:
    """List what lies in a folder, or at the top.

    Args:
        folder: as `/folder/inner`, or its number in the last list
        page: which ten of it
    """
    name = _meant(ctx, folder) if folder.strip(" /") else ""
    found = await _known(ctx, name, "jobs[fullName,color]", what="folder")
    if "jobs" not in found:
        raise UserError(fmt("{} is a job, and no folder.", name))
    none = fmt("Nothing in {} is for you to see.", name or "/")
    return listed(ctx, found["jobs"], page, none, f"ls /{name}")


@skill.linked("jenkins")
async def describe(ctx: LinkedContext, job: str) -> str:
    """Tell what a job is, how it is, and what it takes.

    Args:
        job: its name, `folder/name`, or its number in the last list
    """
    name = _meant(ctx, job)
    tree = f"description,buildable,color,healthReport[description,score],{_PARAMETERS},lastBuild[{_BUILD}]"
    found = await _known(ctx, name, tree)
    if "color" not in found:
        raise UserError(fmt("{} is a folder. See {}.", name, code(f"{ctx.prefix}jenkins ls /{name}")))
    health = [f"{one['score']} % ({one['description']})" for one in found.get("healthReport") or ()]
    takes = [parameter(one) for one in at.definitions(found).values()]
    last = found.get("lastBuild")
    lines: list[str] = [
        fmt("JOB: **{}**", name),
        fmt("URL: {}", ctx.api.url(at.job_path(name) + "/")),
        fmt("DESCRIPTION: {}", cut(found.get("description") or "none")),
        f"ENABLED: {'yes' if found.get('buildable') else 'no'}",
        f"STATUS: {at.state(found['color'])}",
        fmt("HEALTH: {}", ", ".join(health) or "unknown"),
        fmt("PARAMETERS: {}", ", ".join(takes) or "none"),
        f"LAST JOB: {told(ctx, name, last) if last else 'none'}",
    ]
    return "\n".join(f"- {one}" for one in lines)


@skill.linked("jenkins")
async def last(ctx: LinkedContext, job: str) -> Build:
    """Tell how a job's last build went.

    Args:
        job: its name, `folder/name`, or its number in the last list
    """
    name = _meant(ctx, job)
    found = (await _known(ctx, name, f"lastBuild[{_BUILD},actions[causes[shortDescription]]]")).get("lastBuild")
    if not found:
        raise UserError(fmt("{} has not been built yet.", name))
    causes = [one for each in found.get("actions") or () for one in each.get("causes") or ()]
    why = cut(", ".join(one["shortDescription"] for one in causes if one.get("shortDescription")))
    text = told(ctx, name, found) + (fmt(" {}.", why) if why else "")
    url = ctx.api.url(f"{at.job_path(name)}/{found['number']}/")
    return Build(name, found["number"], bool(found["building"]), found.get("result") or "", url, text)


@skill.linked("jenkins")
async def log(ctx: LinkedContext, job: str, *, build: int = 0, lines: int = at.SHOWN) -> str:
    """Show the end of a build's console.

    Args:
        job: its name, `folder/name`, or its number in the last list
        build: its number; left out, the last
        lines: how many, 50 at most
    """
    name = _meant(ctx, job)
    said = await at.console(ctx.api, f"{at.job_path(name)}/{build if build > 0 else 'lastBuild'}", max(1, lines))
    if said is None:
        what = f"{name} #{build}" if build > 0 else name
        raise UserError(fmt("There is no build of {} that you may see.", what))
    return at.shown_log(said) or "Nothing is on that console yet."


# ------------------------------------------------------------------------------------------ building


@skill.linked("jenkins", effect="change")
async def build(ctx: LinkedContext, job: str, *, parameters: str = "") -> Queued:
    """Build a job as yourself, and hear how it ends.

    Parameters stand behind a comma: `build deploy, VERSION=1.2&TARGET=test`.  Values are taken as you
    write them; one with `&name=` in it can be written as JSON: `build deploy, {"URL": "/?a=1&b=2"}`.

    Args:
        job: its name, `folder/name`, its address or its number in the last list
        parameters: instead of a comma: `name=value&other=value`, or JSON
    """
    named, said = (job, parameters) if parameters else at.split_parameters(job)
    return await _begin(ctx, _meant(ctx, named), at.read_parameters(said))


@skill.linked("jenkins", effect="change")
async def b(ctx: LinkedContext, number: str) -> Queued:
    """Build a job by its number in the list that you were shown last.

    Args:
        number: as the list shows it; parameters may stand behind a comma
    """
    said, parameters = at.split_parameters(number)
    found = _NUMBER.fullmatch(said.strip())
    if found is None:
        raise UserError(f"Say the number of a job in the list. `{ctx.prefix}jenkins build JOB` takes names.")
    return await _begin(ctx, ctx.numbered(int(found[1])).rstrip("/"), at.read_parameters(parameters))


@skill.linked("jenkins", effect="destroy", asks=True)
async def abort(ctx: LinkedContext, job: str, *, build: int = 0) -> str:
    """Abort a build that you started.

    Args:
        job: its name, `folder/name`, or its number in the last list
        build: its number; left out, the one of yours that runs or waits
    """
    name, me = _meant(ctx, job), ctx.account.login
    causes = "actions[causes[userId]]"
    found = await _known(ctx, name, f"builds[number,building,{causes}]{{,100}},queueItem[id,{causes}]")
    running = {one["number"]: at.starters(one) for one in found.get("builds") or () if one.get("building")}
    if build > 0 and build not in running:
        raise UserError(fmt("{} is not running.", f"{name} #{build}"))
    if build > 0 and me not in running[build]:
        page = link(f"{name} #{build}", ctx.api.url(f"{at.job_path(name)}/{build}/"))
        raise UserError(fmt("{} was not started by you, so I leave it alone. Its own page stops it.", page))
    mine = [build] if build > 0 else [number for number, who in running.items() if me in who]
    item = found.get("queueItem")
    if not mine and item and me in at.starters(item):
        await _sure(ctx, fmt("Take {} out of the queue?", name))
        return await _cancelled(ctx, name, int(item["id"]))
    if not mine:
        raise UserError(fmt("No build of {} that you started is running.", name))
    number = mine[0] if len(mine) == 1 else int((await ctx.choose("Which one?", [f"#{one}" for one in mine]))[1:])
    await _sure(ctx, fmt("Abort {}?", f"{name} #{number}"))
    await ctx.api.send("POST", f"{at.job_path(name)}/{number}/stop", expect=_PARTED)
    return fmt("{} is being stopped.", at.job_link(ctx.api, name, number))


async def _sure(ctx: LinkedContext, question: str) -> None:
    """Go on after a yes to *question*.

    Raises:
        UserError: it was a no.
    """
    if not await ctx.confirm(question):
        raise UserError("Not done.")


async def _cancelled(ctx: LinkedContext, name: str, item: int) -> str:
    """Take *item* out of the queue; 404: it has just left by itself, 422: one may not."""
    answer = await ctx.api.send("POST", "/queue/cancelItem", params={"id": item}, expect=(*_PARTED, 404, 422))
    if answer.status == 404:
        raise UserError(fmt("{} has just left the queue. Say it again, if it runs.", name))
    if answer.status == 422:
        raise UserError(fmt("{} does not allow you to take {} out of its queue.", ctx.account.title, name))
    return fmt("{} is taken out of the queue; it had not begun.", at.job_link(ctx.api, name))


async def _begin(ctx: LinkedContext, name: str, given: Mapping[str, str]) -> Queued:
    """Start a build, and follow it from the queue to its end."""
    if given:
        at.check_parameters(name, at.definitions(await _known(ctx, name, _PARAMETERS)), given)
    item = _item(name, await _posted(ctx, name, given))
    page, known = at.job_link(ctx.api, name), fmt(" with {}", ", ".join(given)) if given else ""
    text: str = fmt("{} is in the queue{}; I tell you how it ends.", page, known)
    try:
        await ctx.follow(_building, fmt("the build of {}", _short(name)), job=name, item=item, lasting=_DAY)
    except UserError as error:  # it is in the queue all the same
        text = fmt("{} is in the queue{}.", page, known) + f" But I cannot follow it: {error}"
    return Queued(name, item, text)


async def _posted(ctx: LinkedContext, name: str, given: Mapping[str, str]) -> Response:
    """Ask for a build; a job that turns out to want parameters is asked once more, with their defaults.

    Raises:
        UserError: it is not built, and why.
    """
    path, expected = at.job_path(name), (*_PARTED, 400, 404, 409)
    if given:
        answer = await ctx.api.send("POST", f"{path}/buildWithParameters", form=given, expect=expected)
    else:
        answer = await ctx.api.send("POST", f"{path}/build", expect=expected)
        if answer.status == 400:
            answer = await ctx.api.send("POST", f"{path}/buildWithParameters", expect=expected)
    if answer.status == 400:
        what = "takes no parameters" if given else "wants parameters that I cannot guess"
        raise UserError(
            fmt("{} {}, so it was not built. See {}.", name, what, code(f"{ctx.prefix}jenkins describe {name}"))
        )
    if answer.status == 404:
        raise _unknown(ctx, name)
    if answer.status == 409:
        raise UserError(fmt("{} cannot be built: it is disabled, say.", name))
    return answer


def _item(name: str, answer: Response) -> int:
    """Return the number in the queue that *answer* leads to.

    Only the number is taken: the address is as Jenkins is configured to know itself, and need not be ours.
    """
    found = _ITEM.search(answer.headers.get("location", ""))
    if found is None:
        raise UserError(fmt("Jenkins did not take {} into its queue: it may be about to shut down.", name))
    return int(found[1])


# ------------------------------------------------------------------------------------------ following


@skill.follower(every=_LOOK_SECONDS)
async def _building(ctx: FollowContext, job: str, item: int) -> Progress:
    """Look how the build is that began as *item* of the queue."""
    path = at.job_path(job)
    known = await ctx.api.send("GET", f"{path}/api/json", params={"tree": f"builds[{_BUILD}]{{,100}}"}, expect=(404,))
    if known.status == 404:
        return Progress(fmt("I see {} no more, so I do not know how its build ended.", job), done=True)
    found = next((one for one in known.data.get("builds") or () if one.get("queueId") == item), None)
    if found is None:
        return await _waiting(ctx, job, item)
    name, number = at.job_link(ctx.api, job, found["number"]), found["number"]
    if found.get("building"):
        return Progress(fmt("{} is running.", name))
    stage, said = await at.failing(ctx.api, f"{path}/{number}") if found.get("result") == "FAILURE" else ("", "")
    where = fmt(", at the stage **{}**", stage) if stage else ""
    return Progress(fmt("{} {}{}.", name, at.result(found), where) + at.shown_log(said), done=True)


async def _waiting(ctx: FollowContext, job: str, item: int) -> Progress:
    """Look how *item* waits; the queue forgets what left it minutes ago, and the job knows its build by then."""
    answer = await ctx.api.send(
        "GET", f"/queue/item/{item}/api/json", params={"tree": "cancelled,executable[number]"}, expect=(404,)
    )
    if answer.status == 404:
        return Progress(fmt("I do not know how the build of {} ended: Jenkins knows it no more.", job), done=True)
    if answer.data.get("cancelled"):
        return Progress(fmt("The build of {} was taken out of the queue.", job), done=True)
    return Progress("")


# ------------------------------------------------------------------------------------------ words


def _meant(ctx: LinkedContext, said: str) -> str:
    """Return the full name of the job that is *said*: a number of the last list, before a name of digits."""
    number = _NUMBER.fullmatch(said.strip())
    if number is not None:
        try:
            return ctx.numbered(int(number[1])).rstrip("/")
        except UserError:
            if said.strip().startswith("#"):  # no name of a job has that in it
                raise
    return at.job_named(said, ctx.api.url("").rstrip("/"))


async def _known(ctx: LinkedContext, name: str, tree: str, *, what: str = "job") -> dict[str, Any]:
    """Return what *tree* asks of the job or folder *name*.

    Raises:
        UserError: there is none.
    """
    answer = await ctx.api.send("GET", f"{at.job_path(name)}/api/json", params={"tree": tree}, expect=(404,))
    if answer.status == 404 or not isinstance(answer.data, dict):
        raise _unknown(ctx, name, what)
    return answer.data


def _unknown(ctx: LinkedContext, name: str, what: str = "job") -> UserError:
    command = code(f"{ctx.prefix}jenkins ls")
    return UserError(
        fmt("There is no {} {} at {} that you may see. Look with {}.", what, name, ctx.account.title, command)
    )


def _short(name: str) -> str:
    """Return the end of a long *name*, which tells most."""
    return name if len(name) <= _LONGEST_TITLE else "…" + name[-_LONGEST_TITLE:]
