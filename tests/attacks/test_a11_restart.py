"""A11: a restart in the middle of a link.

The bot is stopped, or killed, while a person is on their way through the browser. Who can make it crash
could otherwise void the links of others, or leave them half made.

What must hold: a flow lives in the database alone. Between any two steps of the person it goes on as if
nothing had been; where the service's answer was just being fetched, the link is ended, and the person is
told to begin again; a token that was stored then is erased and revoked.

What remains: a token that the service handed out and a kill kept from being stored is known to nobody; it
ends by itself, or at the service's own list of applications.
"""

import secrets
from dataclasses import replace
from typing import Any

import pytest

from attacks.helpers import answered, arrive, ends, stopping, stored
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.linking.browser import Browser as Pages
from omnibot.linking.confirming import Confirming
from omnibot.linking.upkeep import Upkeep
from omnibot.ports import free_port
from omnibot.testing.bench import ADA, Bench, Plan
from omnibot.vault import Sealer

box, unbox, code = Sealer.box, Sealer.unbox, Sealer.code


def salt(sealer: Sealer) -> str:
    """Return what this process made up, and the next one will not know."""
    made: str = sealer.__dict__.setdefault("salt", secrets.token_hex())
    return made


def boxed_in_memory(patch: pytest.MonkeyPatch) -> None:
    """Box what flows must remember under a key that ends with the process."""
    patch.setattr(Sealer, "box", lambda self, purpose, data: box(self, purpose + salt(self), data))
    patch.setattr(Sealer, "unbox", lambda self, purpose, blob: unbox(self, purpose + salt(self), blob))


def coded_in_memory(patch: pytest.MonkeyPatch) -> None:
    """Derive codes from a key that ends with the process."""
    patch.setattr(Sealer, "code", lambda self, cookie, *rest: code(self, cookie + salt(self), *rest))


def never_recovering(patch: pytest.MonkeyPatch) -> None:
    async def nothing(_: Upkeep) -> None:
        pass

    patch.setattr(Upkeep, "recover", nothing)


async def die(*_: object) -> Any:
    """Stop as a killed process does: what follows never happens."""
    raise RuntimeError("killed")


@pytest.fixture
def plan(plan: Plan) -> Plan:
    """A bot that has its port before it is started."""
    return replace(plan, port=free_port())


@pytest.mark.attack("A11", sabotage=boxed_in_memory)
async def test_between_the_link_and_the_callback(plan: Plan) -> None:
    """The answer comes to another process than the one that sent the browser away, and counts."""
    async with stopping(plan) as person:
        async with Bench.open(plan) as bench:
            url = await answered(bench, person)
        async with Bench.open(bench.plan, bench.clock) as bench:
            await arrive(person, url)
            answers = await bench.say(f"!confirm {person.code}")

            assert answers[0].startswith("Linked")
            assert ["active"] == await stored(bench)


@pytest.mark.attack("A11", sabotage=boxed_in_memory)
async def test_between_the_command_and_the_link(plan: Plan) -> None:
    """A link sent by one process opens at the next, and what waited for it runs there."""
    async with Browser() as person:
        async with Bench.open(plan) as bench:
            await bench.say("!notes")
            link = bench.link_for()
        async with Bench.open(bench.plan, bench.clock) as bench:
            await bench.authorise(person, link)
            answers = await bench.say(f"!confirm {person.code}")

            assert answers[0].startswith("Linked")
            assert "You have no notes." in answers


@pytest.mark.attack("A11", sabotage=coded_in_memory)
async def test_between_the_callback_and_the_code(plan: Plan) -> None:
    """The page shows its browser the same code again; the code is good, and the command that waited runs."""
    async with Browser() as person:
        async with Bench.open(plan) as bench:
            await bench.say("!notes")
            await bench.authorise(person, bench.link_for())
            shown = person.code
        async with Bench.open(bench.plan, bench.clock) as bench:
            await person.open(person.url)
            answers = await bench.say(f"!confirm {shown}")

            assert shown == person.code
            assert answers[0].startswith("Linked")
            assert "You have no notes." in answers


@pytest.mark.attack("A11", sabotage=boxed_in_memory)
async def test_between_the_link_and_the_paste(plan: Plan) -> None:
    """An address pasted to the next process counts there, and the command that waited runs."""
    plan = replace(plan, public=False)
    async with stopping(plan) as person:
        async with Bench.open(plan) as bench:
            await bench.say("!notes")
            await bench.consent(await person.open(bench.link_for()))
        async with Bench.open(bench.plan, bench.clock) as bench:
            answers = await bench.say(person.url)

            assert answers[0].startswith("Linked")
            assert "You have no notes." in answers


@pytest.mark.attack("A11", sabotage=never_recovering)
@pytest.mark.parametrize("public", [True, False], ids=["redirect", "paste"])
async def test_killed_while_the_service_answered(plan: Plan, provider: DemoProvider, public: bool) -> None:
    """A code that may have been spent is not tried again: the person is told when they next speak, and begins anew."""
    plan = replace(plan, public=public)
    async with stopping(plan) as person:
        async with Bench.open(plan) as bench:
            url = await answered(bench, person)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Pages, "_keep_pending", die)
                await (arrive(person, url) if public else bench.say(url))
            under_way = await ends(bench)
        async with Bench.open(bench.plan, bench.clock) as bench:
            await bench.say("!ping")
            told = bench.network.private_texts(ADA)
            recovered = await ends(bench)
            again = await bench.say("!notes")

            assert [("exchanging", "")] == under_way
            assert [("refused", "interrupted")] == recovered
            assert [] == await stored(bench)
            assert [True] == ["begin your link again" in text for text in told if "I was restarted" in text]
            assert "To connect **Demo notes**" in again[0] or "act as you on **Demo notes**" in again[0]
            assert 1 == len(provider.exchanges)


@pytest.mark.attack("A11", sabotage=never_recovering)
async def test_killed_between_a_paste_and_its_link(plan: Plan, provider: DemoProvider) -> None:
    """A pasted answer waits for no code: what it had brought is erased and revoked, and the person begins anew."""
    plan = replace(plan, public=False)
    async with stopping(plan) as person:
        async with Bench.open(plan) as bench:
            url = await answered(bench, person)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Confirming, "activate", die)
                await bench.say(url)
            under_way = await ends(bench)
        async with Bench.open(bench.plan, bench.clock) as bench:
            await bench.say("!ping", ADA)
            told = bench.network.private_texts(ADA)
            await bench.core.revoking.work()

            assert [("pending", "")] == under_way
            assert [("refused", "interrupted")] == await ends(bench)
            assert [] == await stored(bench)
            assert ["ada"] == provider.revoked
            assert "begin your link again" in " ".join(told)
