"""Link, confirm, list and unlink your own accounts."""

from datetime import UTC, datetime
from typing import Literal

from omnibot import AccountView, Assurance, Context, IdentityView, RecordView, Skill, UserError, code, escape, fmt

skill = Skill("accounts", bare=True)

_STATUS = {
    "active": "",
    "pending": " (waits for its code)",
    "held": " (held: somebody else linked it first; an admin decides)",
    "broken": " (no longer accepted: link it again)",
}

_MOST_RECORDS = 50

_OUTCOMES = {
    "Denied": "refused: you may not",
    "UserError": "ended with a word to you",
    "Upstream": "refused, or not done, by the service",
    "TimeoutError": "took too long, and was stopped",
    "AddressRefused": "refused: not an address I ask",
}
"""How a command ended, where the record has the name of an error."""

_EVENTS = {
    "link.begun": "asked for a link to",
    "link.proven": "signed in at the browser, to link",
    "link.pending": "authorised, not yet confirmed:",
    "link.confirmed": "linked",
    "link.held": "held, for somebody else linked it first:",
    "link.allowed": "allowed by an operator:",
    "link.refused": "not linked:",
    "link.expired": "ran out before it was linked:",
    "account.unlinked": "unlinked",
    "account.undone": "unlinked again",
    "account.replaced": "gave way to another login of yours:",
    "account.chosen": "chose what a service's name means:",
    "account.broken": "no longer accepted by the service:",
    "account.erased_again": "erased again after a restored backup:",
    "account.shared": "opened to all your identities:",
    "account.unshared": "closed to your other identities:",
    "person.joined": "became one person with another identity",
    "person.split": "became a person apart again",
    "join.begun": "asked for a code to join identities",
    "join.typed": "typed the code of another identity",
    "join.refused": "did not join identities",
    "follow.begun": "began to follow something",
    "follow.ended": "stopped following something",
}
"""What happened, in words; what is not here is shown by its code."""


@skill.command(minimum=Assurance.ACCOUNT, secret="key")  # noqa: S106 - the parameter's name
async def link(
    ctx: Context, service: str, key: str = "", *, by: Literal["best", "page", "pin", "key", "device"] = "best"
) -> str:
    """Connect one of your accounts.

    You get a private link.  Open it, authorise the bot, and type the code it shows.  Some services
    are linked by a key of yours: type it into the bot's page, or say it here in private.

    Args:
        service: its name, or name@place where there are several: `jupyterhub`, `redmine@work`
        key: an API key, for services that have such; in private only
        by: `best` is what I propose; `page` the service's own page; `pin` a PIN of its; `key` a key of yours
    """
    return await ctx.accounts.link(service, key, by)


@skill.command(answer="private", minimum=Assurance.ACCOUNT)
async def confirm(ctx: Context, code: str) -> str:
    """Type the code that your browser shows.

    Type it yourself, in private.  Whoever asks you for it wants your account.

    Args:
        code: as the page shows it; case and dashes do not matter
    """
    return await ctx.accounts.confirm(code)


@skill.command(answer="private", minimum=Assurance.ACCOUNT, secret="pin")  # noqa: S106 - the parameter's name
async def pin(ctx: Context, pin: str, service: str = "") -> str:
    """Type the PIN that a service's page shows you in the end.

    Type it yourself, in private.  Whoever asks you for it wants your account.

    Args:
        pin: as the page shows it
        service: its name, if I wait for several
    """
    return await ctx.accounts.pin(pin, service)


@skill.command(answer="private", minimum=Assurance.ACCOUNT)
async def accounts(ctx: Context) -> str:
    """List your linked accounts."""
    found = await ctx.accounts.accounts()
    if not found:
        return f"You have linked nothing yet. `{ctx.prefix}link SERVICE` begins."
    return "\n".join(_line(one) for one in found)


@skill.command(answer="private", minimum=Assurance.ACCOUNT)
async def unlink(ctx: Context, service: str) -> str:
    """Erase one of your accounts here, and revoke it there.

    Args:
        service: its name, or name@alias if you have several there
    """
    return await ctx.accounts.unlink(service)


@skill.command(answer="private", minimum=Assurance.ACCOUNT)
async def undo(ctx: Context) -> str:
    """Unlink what you linked last, within a day."""
    return await ctx.accounts.undo()


@skill.command(answer="private", minimum=Assurance.ACCOUNT)
async def use(
    ctx: Context,
    service: str,
    where: Literal["everywhere", "here", "channel"] = "everywhere",
    *,
    any: bool = False,  # noqa: A002 - what people type
) -> str:
    """Choose which of several accounts a service's name means.

    Without a choice I take the one you linked first to read, and ask before I change anything.

    Args:
        service: name@alias, as `accounts` lists it
        where: everywhere; for you in this channel; or, by an admin, for everybody in this channel
        any: take the choice back
    """
    return await (ctx.accounts.use_any if any else ctx.accounts.use)(service, where)


@skill.command(answer="private", minimum=Assurance.ACCOUNT)
async def whoami(ctx: Context) -> str:
    """Show who you are to me, and which accounts you act with."""
    identities = await ctx.accounts.known()
    known = ", ".join(one.identity for one in identities)
    lines: list[str] = [fmt("You are **{}**, known to me as {}.", ctx.message.speaker.name, known)]
    assurance = ctx.message.assurance
    lines.append(f"This message is vouched for as `{assurance.name.lower() if assurance else 'nobody'}`.")
    if len(identities) > 1:
        lines += [_known(one) for one in identities]
        lines.append(f"`{ctx.prefix}split NETWORK:ID` makes one of them a person of its own.")
    found = await ctx.accounts.accounts()
    lines += [_line(one, several=len(identities) > 1) for one in found] or ["You have linked no account."]
    if any(len(one.reach) < len(identities) for one in found):
        lines.append(f"`{ctx.prefix}share SERVICE` opens one of these to all of your identities.")
    return "\n".join(lines)


@skill.command(answer="private", minimum=Assurance.ACCOUNT)
async def join(ctx: Context, said: str = "") -> str:
    """Be one person to me on two networks.

    It gives you a code.  Say that to me on the other network, come back, and say yes.  Nothing that you
    have linked opens to the other side until you `share` it.  Whoever asks you to type a code wants to be you.

    Args:
        said: the code that I gave you elsewhere; or `yes` or `no`, where I asked you back
    """
    return await ctx.accounts.join(said)


@skill.command(answer="private", minimum=Assurance.ACCOUNT)
async def share(ctx: Context, service: str) -> str:
    """Open one of your accounts to all of your identities.

    I name each, and say which the network vouches for less strongly; then you decide.

    Args:
        service: its name, or name@alias if you have several there
    """
    return await ctx.accounts.share(service)


@skill.command(answer="private", minimum=Assurance.ACCOUNT)
async def unshare(ctx: Context, service: str) -> str:
    """Close an account again to all but the identity that linked it.

    Args:
        service: its name, or name@alias if you have several there
    """
    return await ctx.accounts.unshare(service)


@skill.command(answer="private", minimum=Assurance.ACCOUNT)
async def split(ctx: Context, identity: str = "") -> str:
    """Make one of your identities a person of its own again.

    It takes along what it linked, and what either linked is closed to the other.

    Args:
        identity: as `whoami` shows it, or its network; without it I list them
    """
    return await ctx.accounts.split(identity)


@skill.command(effect="destroy", answer="private", minimum=Assurance.ACCOUNT, cooldown=60.0)
async def forget_me(ctx: Context) -> str:
    """Erase all that I know of you, and every account you linked.

    What you did stays on record, under a name that nobody can trace to you.
    """
    return await ctx.accounts.forget()


@skill.command(answer="private", minimum=Assurance.ACCOUNT)
async def export_me(ctx: Context) -> str:
    """Show all that I know of you, as JSON; never a token or key."""
    return await ctx.accounts.export()


@skill.command(answer="private", minimum=Assurance.ACCOUNT)
async def audit(ctx: Context, count: int = 10) -> str:
    """Show what is on record about you: what you did through me, as whom, and how it ended.

    What you told a command is never recorded, and no answer of a service.

    Args:
        count: how many of the latest entries, up to 50
    """
    if not 1 <= count <= _MOST_RECORDS:
        raise UserError(f"I show 1 to {_MOST_RECORDS} entries. `{ctx.prefix}export me` shows more of what I know.")
    found = await ctx.accounts.record(count)
    if not found:
        return "Nothing is on record about you."
    return "\n".join(["What is on record about you, the latest first (times are UTC):", *map(_record, found)])


def _record(one: RecordView) -> str:
    about = ", ".join(map(code, one.acted_as))
    where = f" on {escape(one.network)}" if one.network else ""
    if one.event == "command":
        what = f"{code(one.command)}{f' as {about}' if about else ''}{where}: {_outcome(one)}"
    else:
        why = f" ({escape(one.outcome)})" if one.outcome else ""
        what = f"{_EVENTS.get(one.event) or code(one.event)} {about}".strip() + f"{where}{why}"
    reference = f"; the service calls it {', '.join(map(code, one.upstream))}" if one.upstream else ""
    return f"- {datetime.fromtimestamp(one.at, UTC):%Y-%m-%d %H:%M} {what}{reference}"


def _outcome(one: RecordView) -> str:
    said = _OUTCOMES.get(one.outcome) or escape(one.outcome)
    if not one.requests:
        return said
    asked = f"{one.requests} request{'s' if one.requests > 1 else ''}"
    return f"{said}, {asked}" + (f", {one.changes} of them to change something" if one.changes else "")


def _line(account: AccountView, *, several: bool = False) -> str:
    star = " (default)" if account.default else ""
    scopes = "all that your key may do" if account.by_key else escape(", ".join(account.scopes) or "no scopes")
    line = fmt("- `{}` {} as **{}**", f"{account.provider}@{account.alias}", account.title, account.login) + (
        f"{star}{_STATUS[account.status]}: {scopes}"
    )
    return line + (f"; for {escape(', '.join(account.reach))}" if several or not account.here else "")


def _known(one: IdentityView) -> str:
    """Return the line of one of several identities."""
    vouched = f", vouched for as `{one.vouched}` when it was joined" if one.vouched else ""
    here = " (here)" if one.speaks else ""
    since = f"{datetime.fromtimestamp(one.since, UTC):%Y-%m-%d}"
    return fmt("- **{}** ", one.display or one.identity) + f"{code(one.identity)}{here}, since {since}{vouched}"
