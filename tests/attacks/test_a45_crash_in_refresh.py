"""A45: the bot is killed while a token is being renewed.

Between the server's answer and the commit the new refresh token is in memory only, and the old one is
spent. Whoever can make the bot crash just then costs a person their link; and a bot that does not know
of it would try the dead token again and again, until the server locks the account.

What must hold: that a renewal is begun is on the disk before the server is asked. The next start tries
once, with the token there is: that keeps the link where the server never answered. Where it did, the
account is marked, and its owner is told once, in private, how to link again. No other start asks again
or says it again.

What remains: where the answer was lost with the process, the person has to link again; no client can
know a token that it never stored.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from crash.cases import Case, case
from crash.checks import look
from crash.leash import Died, Keeper, Point, keepers
from omnibot import accounts
from omnibot.accounts import Account
from omnibot.provider import Instance, Token
from omnibot.renewal import Renewals

SPOILT: list[str] = []
"""What each bot of these tests calls before it starts, in its own process."""

TOLD = "has ended: the service no longer accepts it. Please link again: `!link demo`"
BEFORE: Point = ("before POST /token", 1)
ANSWERED: Point = ("after POST /token", 1)
STORED: Point = ("the commit of renewal._keep", 1)


def spoiled(name: str) -> Callable[[pytest.MonkeyPatch], None]:
    """Return the sabotage that lets every bot begin with the function *name* of this module."""
    return lambda patch: patch.setitem(globals(), "SPOILT", [f"attacks.test_a45_crash_in_refresh:{name}"])


def forgetful() -> None:
    """Take nothing up that was begun before."""

    async def recover(self: Renewals) -> None:
        pass

    Renewals.recover = recover  # type: ignore[method-assign]


def unmarked() -> None:
    """Ask without writing down before that one will."""
    mark = Renewals._mark

    async def nothing(self: Renewals, account: Account, instance: Instance) -> tuple[Account | None, Token | None]:
        current, token = await mark(self, account, instance)
        if current is not None:
            async with self._database.transaction() as tx:
                row = await tx.rows("SELECT * FROM accounts WHERE id = ?", (current.id,))
                await tx.update("accounts", ("id",), self._sealer.stamp(accounts.TABLE, row[0] | {"refreshing": 0}))
        return None if current is None else replace(current, refreshing=0), token

    Renewals._mark = nothing  # type: ignore[method-assign]


def repeating() -> None:
    """Forget who was told."""

    async def told(self: Renewals, account: Account) -> None:
        pass

    Renewals._told = told  # type: ignore[method-assign]


@pytest.fixture(scope="module")
def keeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keeper]:
    """The process that forks the bots."""
    with keepers(tmp_path_factory.mktemp("keeper"), 1) as (lent,):
        yield lent


@pytest.fixture
async def ada(keeper: Keeper, tmp_path: Path) -> AsyncIterator[Case]:
    """Ada, whose account is linked, and whose access token the service takes no more."""
    async with case(tmp_path / "bot", keeper, before=tuple(SPOILT)) as one:
        await one.link_before()
        one.provider.expire_access_tokens()
        yield one


async def killed(ada: Case, at: Point) -> None:
    """Let Ada's command need a new token, and kill the bot *at* that point of its renewal."""
    await ada.start(at)
    with pytest.raises(Died):
        await ada.say(ada.note())


async def again(ada: Case) -> list[str]:
    """Start the bot, let it do what it has to do, stop it; return what Ada was told."""
    before = len(ada.heard)
    await ada.start()
    for _ in range(20):
        await asyncio.sleep(0.02)
        await ada.listen()
    await ada.stop()
    return [one.text for one in ada.heard[before:]]


def refreshes(ada: Case) -> list[bool]:
    """Return how each refresh ended that reached the server."""
    return [one.ok for one in ada.provider.exchanges if one.kind == "refresh"]


@pytest.mark.attack("A45", sabotage=spoiled("forgetful"))
async def test_killed_before_the_server_was_asked(ada: Case) -> None:
    """The next start renews, before anybody needs it; nobody hears of it, and the next command works."""
    await killed(ada, BEFORE)
    left = look(ada)
    told = await again(ada)
    after = look(ada)
    await ada.start()
    await ada.say(ada.note())
    await ada.stop()

    assert (1, 0) == (left.renewing, after.renewing)
    assert [] == told
    assert [True] == refreshes(ada)
    assert [ada.typed[-1]] == ada.provider.notes("ada")
    assert "" == ada.link


@pytest.mark.attack("A45", sabotage=spoiled("forgetful"))
async def test_killed_between_the_answer_and_the_commit(ada: Case) -> None:
    """The new token is lost: Ada is told once how to go on, and the next command leads there, too."""
    await killed(ada, ANSWERED)
    left = look(ada)
    starts = [await again(ada) for _ in range(3)]
    tries = refreshes(ada)
    after = look(ada)
    await ada.start()
    answers = await ada.say(ada.note())
    await ada.stop()

    assert 1 == left.renewing
    assert [1, 0, 0] == [len([text for text in told if text.endswith(TOLD)]) for told in starts]
    assert [True, False] == tries == refreshes(ada)
    assert (("broken",), 0) == (after.accounts, after.renewing)
    assert 1 == len([one for one in answers if one.link])


@pytest.mark.attack("A45", sabotage=spoiled("repeating"))
async def test_it_is_said_once(ada: Case) -> None:
    """However often the bot is started afterwards."""
    await killed(ada, ANSWERED)
    starts = [await again(ada) for _ in range(3)]

    assert 1 == len([text for told in starts for text in told if text.endswith(TOLD)])


@pytest.mark.attack("A45", sabotage=spoiled("unmarked"))
async def test_the_intent_is_on_the_disk_first(ada: Case) -> None:
    """Whoever finds the row after the kill knows that the refresh token may be spent."""
    await killed(ada, BEFORE)

    assert 1 == look(ada).renewing


async def test_killed_after_the_commit(ada: Case) -> None:
    """Nothing is lost, nothing is asked again."""
    await killed(ada, STORED)
    left = look(ada)
    told = await again(ada)

    assert (0, []) == (left.renewing, told)
    assert [True] == refreshes(ada)
