"""List what is followed for you, end it, and say when you want to hear nothing of it."""

from contextlib import suppress

from omnibot import Assurance, Context, FollowView, QuietView, Skill, UserError, fmt

skill = Skill("following", bare=True)

_LONGEST = 200
_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"))


@skill.command(answer="private", minimum=Assurance.ACCOUNT)
async def following(ctx: Context) -> str:
    """List what I follow for you."""
    found = [_line(one) for one in await ctx.follows.all()]
    quiet = await ctx.follows.quiet()
    if found and quiet is not None and quiet.until:
        found.append(f"It is quiet for you until {quiet.until}: I look at none of it before.")
    return "\n".join(found) or "I follow nothing for you."


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


@skill.command(answer="private", minimum=Assurance.ACCOUNT)
async def quiet(ctx: Context, hours: str = "", zone: str = "") -> str:
    """Say when I tell you nothing of what I follow for you.

    In these hours of every day I look at nothing of it. When they are over I tell you what has changed.
    Commands are answered at any time.

    Args:
        hours: from when to when, `22:00-07:00`; `off` ends it; nothing: show it
        zone: of which clock, `Europe/Berlin`; nothing: UTC
    """
    if not hours:
        found = await ctx.follows.quiet()
        if found is None:
            return f"You have no quiet hours. `{ctx.prefix}quiet 22:00-07:00 Europe/Berlin` sets some."
        return _quiet(found)
    if hours.lower() == "off":
        return "You have no quiet hours any more." if await ctx.follows.end_quiet() else "You have no quiet hours."
    chosen = _quiet(await ctx.follows.be_quiet(hours, zone))
    if zone:
        return chosen
    return chosen + f" To go by your own clock, name it: `{ctx.prefix}quiet {hours} Europe/Berlin`."


def _quiet(found: QuietView) -> str:
    clock = "UTC" if found.zone == "UTC" else fmt("by the clock of {}", found.zone)
    now = f" It is quiet now, until {found.until}." if found.until else ""
    return f"Quiet hours: {found.hours}, {clock}. I tell you nothing then of what I follow for you.{now}"


def _line(one: FollowView) -> str:
    said = " ".join(one.said.split())
    said = said if len(said) <= _LONGEST else said[: _LONGEST - 1] + "…"
    times = f"begun {_span(one.age)} ago, for up to {_span(one.left)} more"
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
