"""The commands that are the same at GitHub, GitLab and Forgejo, and the follower of an issue or a pull request.

They are written once, in terms of a `Forge`, and declared for each of the three; it is no skill by itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from omnibot import FollowContext, LinkedContext, Progress, Skill, Upstream, UserError, fmt
from skills._forges import (
    LONGEST_TITLE,
    Forge,
    Kind,
    Reference,
    Thing,
    cut,
    listed,
    project_named,
    reference,
    shown,
    told,
    unsaid,
)

FOLLOW_SECONDS = 7 * 86400.0
LOOK_SECONDS = 60.0


def declare(skill: Skill, forge: Forge) -> None:
    """Declare the commands of *skill* that are the same at every *forge*, and its follower."""
    _declare_reading(skill, forge)
    _declare_changing(skill, forge)
    _declare_following(skill, forge)


def _declare_reading(skill: Skill, forge: Forge) -> None:
    reading = skill.linked(forge.provider, scopes=forge.reads)

    async def issues(ctx: LinkedContext, project: str = "") -> str:
        """List open issues: those assigned to you, or those of a project.

        Args:
            project: owner/name; left out, yours everywhere
        """
        return await _list(ctx, forge, project, "issues")

    async def pulls(ctx: LinkedContext, project: str = "") -> str:
        """List open pull requests: those that you made, or those of a project.

        Args:
            project: owner/name; left out, yours everywhere
        """
        return await _list(ctx, forge, project, "pulls")

    async def reviews(ctx: LinkedContext) -> str:
        """List the open pull requests whose review is asked of you."""
        return await _list(ctx, forge, "", "reviews")

    async def show(ctx: LinkedContext, which: str) -> str:
        """Show an issue or a pull request, with its latest comments.

        Args:
            which: owner/name#12, or its address
        """
        what = reference(which, ctx.api)
        with _about(what):
            thing = await forge.thing(ctx.api, what)
            return shown(thing, await forge.comments(ctx.api, thing, what) if thing.comments else [])

    pulls.__name__ = forge.pulls
    for handler in (issues, pulls, reviews, show):
        reading(_worded(handler, forge))


def _declare_changing(skill: Skill, forge: Forge) -> None:
    changing = skill.linked(forge.provider, scopes=forge.writes, effect="change")

    async def create(ctx: LinkedContext, project: str, title: str) -> str:
        """Open an issue, as yourself.

        Args:
            project: owner/name
            title: one line; what follows on further lines is the description
        """
        head, _, body = title.strip().partition("\n")
        with _about(f"project {project_named(project)}", action="open issues there"):
            made = await forge.create(ctx.api, project_named(project), head.strip(), body.strip())
        return fmt("Opened {}: {}, as **{}**.", made.link, made.title, ctx.account.login)

    async def comment(ctx: LinkedContext, which: str, text: str) -> str:
        """Comment on an issue or a pull request, as yourself.

        Args:
            which: owner/name#12, or its address
            text: what you say
        """
        what = reference(which, ctx.api)
        with _about(what, action="comment there"):
            await forge.comment(ctx.api, what, text)
        return fmt("Commented on {} as **{}**.", what.short, ctx.account.login)

    async def close(ctx: LinkedContext, which: str, comment: str = "") -> str:
        """Close an issue or a pull request.

        Args:
            which: owner/name#12, or its address
            comment: what you say about it
        """
        what = reference(which, ctx.api)
        with _about(what, action="close it"):
            thing = await forge.thing(ctx.api, what)
            if thing.state != "open":
                return fmt("{} is {} already.", thing.link, thing.state)
            if comment:
                await forge.comment(ctx.api, what, comment)
            thing = await forge.turn(ctx.api, what, to_open=False)
        return fmt("Closed {}: {}.", thing.link, thing.title)

    async def reopen(ctx: LinkedContext, which: str) -> str:
        """Open a closed issue or pull request again.

        Args:
            which: owner/name#12, or its address
        """
        what = reference(which, ctx.api)
        with _about(what, action="open it again"):
            thing = await forge.thing(ctx.api, what)
            if thing.state == "open":
                return fmt("{} is open.", thing.link)
            if thing.state == "merged":
                raise UserError(fmt("{} is merged, so it cannot be opened again.", thing.name))
            thing = await forge.turn(ctx.api, what, to_open=True)
        return fmt("Opened {} again: {}.", thing.link, thing.title)

    async def merge(ctx: LinkedContext, which: str, *, how: Literal["merge", "squash", "rebase"] = "merge") -> str:
        """Merge a pull request.

        Args:
            which: owner/name#12, or its address
            how: by a commit of its own, squashed into one, or rebased
        """
        what = reference(which, ctx.api)
        with _about(what, action="merge it"):
            thing = await forge.thing(ctx.api, what)
        _check_mergeable(thing, forge)
        if how not in forge.merges:
            raise UserError(fmt("{} does not {} from here: say {}.", ctx.account.title, how, " or ".join(forge.merges)))
        kind = {"merge": "", "squash": ", squashed", "rebase": ", rebased"}[how]
        if not await ctx.confirm(fmt("Merge {}: {}, by {}{}?", thing.name, thing.title, thing.author, kind)):
            raise UserError("Not done.")
        await _merged(ctx, forge, what, thing, how)
        return fmt("Merged {}: {}, as **{}**.", thing.link, thing.title, ctx.account.login)

    for handler in (create, comment, close, reopen):
        changing(_worded(handler, forge))
    skill.linked(forge.provider, scopes=forge.writes, effect="destroy", asks=True)(_worded(merge, forge))


def _declare_following(skill: Skill, forge: Forge) -> None:
    @skill.follower(every=LOOK_SECONDS)
    async def watch(ctx: FollowContext, name: str, project: str, number: int, pull: bool, since: float) -> Progress:
        """Look what others have done to an issue or a pull request after *since*, until it is closed."""
        what = Reference(project, number, pull)
        with _about(name):
            thing = await forge.changed(ctx, what)
            if thing is None:
                return Progress("")
            events = [*await forge.comments(ctx.api, thing, what), *await forge.events(ctx.api, thing, what)]
        said = unsaid((one for one in events if one.by != ctx.account.login), since, ctx.said)
        head = fmt("{} {}", thing.link, cut(thing.title, LONGEST_TITLE))
        if thing.state == "open":
            return Progress(told(head, said) if said else "", news=True)
        by = fmt(" by **{}**", thing.ended_by) if thing.ended_by else ""
        return Progress(told(fmt("{} is {}{}.", head, thing.state, by), said), done=True)

    async def follow(ctx: LinkedContext, which: str) -> str:
        """Tell me what others do to an issue or a pull request, until it is closed.

        Args:
            which: owner/name#12, or its address
        """
        what = reference(which, ctx.api)
        with _about(what):
            thing = await forge.thing(ctx.api, what)
            if thing.state != "open":
                return fmt("{} is {}: there is nothing to follow.", thing.link, thing.state)
            known = await forge.events(ctx.api, thing, what)
        since = max([thing.updated, *(one.at for one in known)])
        where: dict[str, Any] = {"project": what.project, "number": what.number, "pull": thing.pull}
        title = cut(thing.name, 90)
        await ctx.follow(watch, fmt("{}", title), lasting=FOLLOW_SECONDS, name=title, since=since, **where)
        return fmt("I follow {} {}: comments by others, its reviews, its checks, its end.", thing.link, thing.title)

    skill.linked(forge.provider, scopes=forge.reads)(_worded(follow, forge))


def _worded[H: Any](handler: H, forge: Forge) -> H:
    """Return *handler* with the forge's own word for a pull request in its docstring."""
    handler.__doc__ = (handler.__doc__ or "").replace("pull request", forge.pull)
    return handler


async def _list(ctx: LinkedContext, forge: Forge, project: str, kind: Kind) -> str:
    named = project_named(project) if project.strip() else ""
    with _about(f"project {named}"):
        found = await (forge.of(ctx.api, named, kind) if named else forge.mine(ctx.api, kind))
    what = "issue" if kind == "issues" else forge.pull
    if kind == "reviews":
        return listed(found, f"Nobody waits for a review of yours at {ctx.account.title}.")
    return listed(found, fmt("There is no open {} in {}.", what, named) if named else f"You have no open {what}.")


async def _merged(ctx: LinkedContext, forge: Forge, what: Reference, thing: Thing, how: str) -> None:
    """Merge *thing*, or say in words why it is not."""
    try:
        await forge.merge(ctx.api, what, thing, how)
    except Upstream as error:
        if error.status == 409:
            raise UserError(
                fmt("{} has changed just now, so it is not merged. Look at it again.", thing.name)
            ) from None
        if error.status not in (403, 405, 406, 422):
            raise
        why = "a conflict, a check or a review may be missing, or you may not merge there this way"
        raise UserError(fmt("{} did not let you merge {}: {}.", ctx.account.title, thing.name, why)) from None


def _check_mergeable(thing: Thing, forge: Forge) -> None:
    """See that *thing* can be merged at all.

    Raises:
        UserError: it cannot.
    """
    if not thing.pull:
        raise UserError(fmt("{} is an issue, and no {}.", thing.name, forge.pull))
    if thing.state != "open":
        raise UserError(fmt("{} is {} already.", thing.name, thing.state))
    if thing.draft:
        raise UserError(fmt("{} is a draft. Mark it as ready first.", thing.name))
    if thing.blocked:
        raise UserError(fmt("{} cannot be merged: {}.", thing.name, thing.blocked))


@contextmanager
def _about(what: Reference | str, *, action: str = "") -> Iterator[None]:
    """Say of *what* there was nothing, or what one may not do, where the service refuses."""
    name = what.short if isinstance(what, Reference) else what
    try:
        yield
    except Upstream as error:
        if error.status == 404:
            raise UserError(fmt("There is no {} that you may see.", name)) from None
        if error.status == 410:
            raise UserError(fmt("{} has no issues, or they have been switched off.", name)) from None
        if error.status == 403 and action and not error.retry_after:
            raise UserError(fmt("You may not {}: {}.", action, name)) from None
        raise
