"""List what is followed for you, and end it."""

from contextlib import suppress

from omnibot import Assurance, Context, FollowView, Skill, UserError, fmt

skill = Skill("following", bare=True)

_LONGEST = 200
_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"))


@skill.command(answer="private", minimum=Assurance.ACCOUNT)
async def following(ctx: Context) -> str:
    """List what I follow for you."""
    found = await ctx.follows.all()
    return "\n".join(_line(one) for one in found) or "I follow nothing for you."


@skill.command(answer="private", minimum=Assurance.ACCOUNT)
async def unfollow(ctx: Context, which: str) -> str:
    """End something that I follow for you.

    Args:
        which: its number, as `following` lists it, or `all`
    """
    if which.lower() == "all":
        ended = []
        for one in await ctx.follows.all():
            with suppress(UserError):  # it has just ended by itself
                ended.append(await ctx.follows.end(one.number))
    else:
        number = which.lstrip("#")
        if not number.isdecimal() or len(number) > 4:
            raise UserError(f"Say which by its number, or `all`. `{ctx.prefix}following` lists them.")
        ended = [await ctx.follows.end(int(number))]
    titles = ", ".join(f"**{one.title}**" for one in ended)
    return f"I no longer follow {titles}." if ended else "I follow nothing for you."


def _line(one: FollowView) -> str:
    said = " ".join(one.said.split())
    said = said if len(said) <= _LONGEST else said[: _LONGEST - 1] + "…"
    times = f"since {_span(one.age)}, for up to {_span(one.left)} more"
    # No numbered list: Markdown would count on from the first, and show numbers that are not theirs.
    about = f"- `{one.number}` **{one.title}** " + fmt("at {}, {}", one.service, times)
    return f"{about}. Last: {said}" if said else f"{about}."


def _span(seconds: float) -> str:
    """Return a length of time in words, roughly."""
    for size, name in _UNITS:
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {name}{'s' if count > 1 else ''}"
    return "less than a minute"
