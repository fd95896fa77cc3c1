"""A51, cross-identity link theft: Mallory's code, typed by Alice, would make the two one person.

What must hold: a join needs a word from both sides, each told the other's network and full id.
Joining opens no account: what Alice linked is hers alone until she shares it, and is named to her
when she does.  Either side can split the two again, and takes along what it linked.  Reach that was
widened in the database is refused (A63).

What remains: somebody who is talked into both, the code and the sharing, has shared.
"""

import json
from collections.abc import AsyncIterator, Collection
from dataclasses import replace

import pytest

from attacks.tampering import REFUSAL, change, unchecked
from joined import TRAIN, code_in, everyone, held, join, name, open_both, share, split, two_networks
from omnibot import accounts
from omnibot.accounts import Account
from omnibot.demo.provider import DemoProvider
from omnibot.identity import Assurance, Identity
from omnibot.linking import moving
from omnibot.linking.joining import Joining
from omnibot.linking.joins import Join
from omnibot.linking.oneperson import OnePerson
from omnibot.linking.sharing import Sharing
from omnibot.testing.bench import ADA, MALLORY, Bench, Plan


@pytest.fixture
async def bench(plan: Plan) -> AsyncIterator[Bench]:
    """A bot on two networks; Ada has linked on one, Mallory is on the other."""
    async with open_both(plan) as bench:
        await bench.link(TRAIN, "ada")
        yield bench


def without_the_first_yes(patch: pytest.MonkeyPatch) -> None:
    """Ask nobody who typed a code."""

    async def agreeing(self: OnePerson, code: str) -> str:
        join = await self._joining.of_code(code)
        assert join is not None
        await self._joining.name(join.id, self._identity, self._assurance, [join.maker])
        return ""

    patch.setattr(OnePerson, "_typed", agreeing)


def without_the_second_yes(patch: pytest.MonkeyPatch) -> None:
    """Join as soon as the code was typed and agreed to."""
    ask_back = Joining.name

    async def joined(
        self: Joining, join_id: str, typer: Identity, assurance: Assurance, told: Collection[Identity]
    ) -> bool:
        named = await ask_back(self, join_id, typer, assurance, told)
        await self.agree(join_id)
        return named

    patch.setattr(Joining, "name", joined)


@pytest.mark.attack("A51", sabotage=without_the_first_yes)
async def test_a_pasted_code_joins_nobody(bench: Bench) -> None:
    """Alice, who was told to type it, sees whose it is; without her yes Mallory's own yes is for nothing."""
    code = code_in(await bench.say("!join", MALLORY))
    asked = await bench.say(f"!join {code}", TRAIN)
    said = await bench.say("!join yes", MALLORY)

    assert 2 == len(await everyone(bench))
    assert "Nothing waits for your yes" in said[0]
    assert "`fake:u-666`" in asked[0]
    assert "they want to be you" in asked[0]


@pytest.mark.attack("A51", sabotage=without_the_second_yes)
async def test_a_stolen_code_joins_nobody(bench: Bench) -> None:
    """Mallory reads Alice's code and types it: Alice is told who did, and nothing happens without her."""
    await name(bench, TRAIN, MALLORY)

    assert 2 == len(await everyone(bench))
    assert "`fake:u-666`" in bench.networks[1].private_texts(TRAIN)[-1]


def everything_reaches(patch: pytest.MonkeyPatch) -> None:
    """Let every identity of a person use all that is theirs."""
    patch.setattr(Account, "reaches", lambda self, identity: True)


@pytest.mark.attack("A51", sabotage=everything_reaches)
async def test_nothing_is_used_before_it_is_shared(bench: Bench, provider: DemoProvider) -> None:
    """Mallory, joined, neither acts with Alice's account nor ends, chooses, follows or shares it."""
    await join(bench, MALLORY, TRAIN)
    before = len(provider.calls)
    tried = ("!notes", "!unlink demo", "!use demo", "!undo", "!share demo", "!unshare demo", "!api demo GET /api/me")
    said = [(await bench.say(text, MALLORY))[0] for text in tried]
    await bench.say("yes", MALLORY)

    assert [] == provider.calls[before:]
    assert {"ada": (TRAIN,)} == {login: one.reach for login, one in (await held(bench)).items()}
    assert "You have no account" in said[1]


def opening_to_all(patch: pytest.MonkeyPatch) -> None:
    """Share with whoever is named, whosever they are and whoever asks."""

    async def change_it(self: Sharing, by: Identity, account: str, event: str, how: object) -> Account:
        async with self._with.database.transaction() as tx:
            current = await accounts.get(tx, self._with.sealer, account)
            assert current is not None
            wide = replace(current, reach=(*current.reach, by))
            await accounts.change(tx, self._with.sealer, account, lambda _: wide)
        return wide

    patch.setattr(Sharing, "_change", change_it)


@pytest.mark.attack("A51", sabotage=opening_to_all)
async def test_nobody_shares_what_they_may_not_use(bench: Bench) -> None:
    """Not even beside the words in chat."""
    await join(bench, MALLORY, TRAIN)
    account = (await held(bench))["ada"].id
    try:
        await Sharing(bench.core.links).share(MALLORY, account, [MALLORY])
    except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at below
        assert "not yours" in str(error)  # noqa: PT017

    assert (TRAIN,) == (await held(bench))["ada"].reach


def keeping_reach(patch: pytest.MonkeyPatch) -> None:
    """Let a split take nothing from the reach of what stays."""
    patch.setattr(moving, "_without", lambda identity, account: account)


@pytest.mark.attack("A51", sabotage=keeping_reach)
async def test_a_split_closes_what_was_shared(bench: Bench, provider: DemoProvider) -> None:
    """Alice thinks better of it: what she linked goes with her, and Mallory's is closed to her as well."""
    await bench.link(MALLORY, "mallory")
    await join(bench, MALLORY, TRAIN)
    await share(bench, TRAIN, "demo@ada")
    await share(bench, MALLORY, "demo@mallory")
    await split(bench, "train:t-1", TRAIN)
    found = await held(bench)

    assert {"ada": (TRAIN,), "mallory": (MALLORY,)} == {login: one.reach for login, one in found.items()}
    assert found["ada"].person != found["mallory"].person
    assert "ada" not in (await bench.say("!accounts", MALLORY))[0]


@pytest.mark.attack("A51", sabotage=unchecked)
async def test_reach_that_was_widened_by_sql_is_refused(plan: Plan, provider: DemoProvider) -> None:
    """Joined and not shared, the database cannot make it shared."""
    async with open_both(plan) as bench:
        await bench.link(TRAIN, "ada")
        await join(bench, MALLORY, TRAIN)
    change(plan, "UPDATE accounts SET reach = ?", json.dumps([["fake", "u-666", ""], ["train", "t-1", ""]]))
    async with Bench.open(two_networks(plan)) as bench:
        before = len(provider.calls)
        said = await bench.say("!notes", MALLORY)

    assert said[0].startswith(REFUSAL)
    assert [] == provider.calls[before:]


@pytest.mark.attack("A51", sabotage=unchecked)
async def test_a_join_that_was_written_in_is_refused(plan: Plan) -> None:
    """Alice's own code, with Mallory written in as the one who typed it: her yes joins nobody."""
    async with open_both(plan) as bench:
        await bench.say("!join", TRAIN)
        await bench.core.people.ensure(MALLORY)
    typer = json.dumps(["fake", "u-666", "", "Ada"])
    change(plan, "UPDATE joins SET other = ?, other_assurance = 2, code_hash = NULL", typer)
    async with Bench.open(two_networks(plan)) as bench:
        said = await bench.say("!join yes", TRAIN)

        assert said[0].startswith(REFUSAL)
        assert 2 == len(await everyone(bench))


def test_a_join_shows_no_code() -> None:
    """Not even its hash."""
    assert "hash" not in repr(Join("1", ADA, Assurance.STRONG, 0.0, 1.0, b"hash"))
