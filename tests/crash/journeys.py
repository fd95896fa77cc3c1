"""What a person does, and how they go on when the bot was killed under them and is back."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from crash.cases import PASTED, SCOPES, Case
from crash.checks import Left
from omnibot.catalogue import load_catalogue
from omnibot.provider import Provider
from omnibot.testing import bench

type Step = Callable[[Case], Awaitable[None]]


async def nothing(_: Case) -> None:
    """Prepare nothing."""


@dataclass(frozen=True, slots=True)
class Journey:
    """One way of using the bot, from the first word to the end."""

    name: str
    walk: Step
    """What the person does; to its end, if nothing goes wrong."""

    go_on: Callable[[Case, Left], Awaitable[None]]
    """What they do after a kill, knowing nothing of it but what they saw; it asserts where they get to."""

    prepare: Step = nothing
    public: bool = True
    before: tuple[str, ...] = ()
    """What each bot calls before it starts, as ``module:function``."""


# ---------------------------------------------------------------------- linking


async def ask_and_link(case: Case) -> None:
    """Say a command that wants an account, and link it."""
    await case.say(case.note())
    await link(case)

    assert case.typed == case.provider.notes("ada")


async def link(case: Case) -> None:
    """Walk from the link to the account."""
    await case.browse(case.link)
    await finish(case)


async def finish(case: Case) -> None:
    """Take what the browser shows to the chat."""
    if case.window.code:
        await case.say(f"!confirm {case.window.code}")
    elif case.window.url.startswith(PASTED):
        await case.say(case.window.url)


async def link_after_all(case: Case, killed: Left) -> None:
    """Reload the page, say the code again; begin anew only where it was told, or plain, that the link is over."""
    await case.listen()
    if not case.window.url and not case.window.lost and case.link:
        await case.browse(case.link)
    else:
        await case.browse()
    if not case.told("Linked Demo notes"):
        await finish(case)
    if not await case.linked():
        over = case.window.status >= 400 or any(case.told(words) for words in OVER)

        assert over or not case.link, f"nobody said that the link is over; the page: {case.window.text[:200]}"
        answers = await case.say(case.note())
        if not any(one.link for one in answers):
            await case.say("!link demo")
        await link(case)
    if any(one.link for one in await case.say("!notes")):  # as in the beginning: the bot knew of no loss
        await link(case)
    assert await case.linked()


OVER = ("begin your link again", "ask for a new link", "Ask for a new link", "has run out")


async def lose_the_grant(case: Case) -> None:
    """Let the account be linked, and the service know nothing of it any more."""
    await case.link_before()
    case.provider.forget_grants()


async def hold_a_key(case: Case) -> None:
    """Let the person have a key, which the service does not renew."""
    answer = case.provider.issue("ada", "", SCOPES)
    del case.provider._ledger._tokens[answer["refresh_token"]]
    case.key = answer["access_token"]


def by_key() -> None:
    """Let the bot link the demo service by a key, which is typed into its own form."""
    load = load_catalogue

    def loaded(*folders: Path) -> dict[str, Provider]:
        found = dict(load(*folders))
        return {**found, "demo": replace(found["demo"], ways=("key",))}

    bench.load_catalogue = loaded  # type: ignore[attr-defined]


# --------------------------------------------------------------------- renewing


async def linked_and_run_out(case: Case) -> None:
    """Let the account be linked, and its token have run out."""
    await case.link_before(expired=True)
    case.provider.expire_access_tokens()


async def write(case: Case) -> None:
    """Say a command of an account that is linked."""
    await case.say(case.note())

    assert case.typed == case.provider.notes("ada")


async def write_again(case: Case, killed: Left) -> None:
    """Write something else: that works, or says to link again where the new token died with the bot; then it works."""
    spent = {one.value for one in case.provider._ledger._tokens.values() if one.spent}
    died = killed.renewing == 1 and killed.tokens[0].refresh in spent
    await case.listen()
    answers = await case.say(case.note())
    if any(one.link for one in answers):
        assert died, "a link was asked for, though the token could be renewed"
        await link(case)
    assert case.typed[-1] in case.provider.notes("ada")
    assert await case.linked()


# -------------------------------------------------------------------- unlinking


async def unlink(case: Case) -> None:
    """Unlink the account."""
    await case.say("!unlink demo")

    assert case.told("is unlinked")


async def unlink_for_good(case: Case, killed: Left) -> None:
    """What was said to be gone is gone; what is listed still works, and goes when it is unlinked again."""
    await case.listen()
    told = case.told("is unlinked")
    if await case.linked():
        assert not told
        assert ["You have no notes."] == [one.text for one in await case.say("!notes")]
        await unlink(case)
    assert not await case.linked()


# --------------------------------------------------------------------- refusing


async def ask_and_refuse(case: Case) -> None:
    """Ask for a link, and refuse it at the browser."""
    await case.say(case.note())
    await refuse(case)
    await case.listen()

    assert case.told("was not run")


async def refuse(case: Case) -> None:
    """Open the link, and press the button that refuses."""
    window = case.window
    if not window.url:
        await case.seeing(window.open(case.link))
    if "Refuse" in " ".join(window.buttons):
        await case.seeing(window.press("Refuse"))


async def refuse_after_all(case: Case, killed: Left) -> None:
    """Refuse it again, if the page lets; whoever asked is told, when they next speak at the latest."""
    await case.listen()
    await case.seeing(case.window.reload())
    if case.link:
        await refuse(case)
        await case.say("!accounts")

        assert case.told("was not run")
        assert [] == case.provider.notes("ada")


# ------------------------------------------------------------------- redelivery


async def linked_before(case: Case) -> None:
    """Let the account be linked."""
    await case.link_before()


async def deliver(case: Case) -> None:
    """Say a command on a network that delivers again what was not acknowledged."""
    await case.say(case.note(), id="event-1", position="position-1")

    assert case.typed == case.provider.notes("ada")


async def deliver_again(case: Case, killed: Left) -> None:
    """The network gives again what it was not told to be past; what has not started starts, by itself or from that."""
    await case.listen()
    if await case.position() is None:
        text = f"!notes add {case.typed[0]}" if case.typed else case.note()
        await case.say(text, id="event-1", position="position-1")

    assert killed.started or case.typed == case.provider.notes("ada")


JOURNEYS = (
    Journey("redirect", ask_and_link, link_after_all),
    Journey("paste", ask_and_link, link_after_all, public=False),
    Journey("key", ask_and_link, link_after_all, prepare=hold_a_key, before=(f"{__name__}:by_key",)),
    Journey("resume", ask_and_link, link_after_all, prepare=lose_the_grant),
    Journey("refuse", ask_and_refuse, refuse_after_all),
    Journey("renew", write, write_again, prepare=linked_and_run_out),
    Journey("unlink", unlink, unlink_for_good, prepare=linked_before),
    Journey("redeliver", deliver, deliver_again, prepare=linked_before),
)
