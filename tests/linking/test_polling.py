"""Links by a device's code (RFC 8628), where an operator lets people use it; A4 has what it is refused for."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from linking.services import BY_DEVICE, ManyWays, catalogue
from linking.steps import all_accounts, all_flows
from omnibot.testing.bench import ADA, GRACE, Bench, Plan


class Pauses:
    """How long was waited between two questions; no time passes until a test lets it."""

    def __init__(self) -> None:
        self.waited: list[float] = []
        self._go = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        self.waited.append(seconds)
        await self._go.wait()

    def over(self) -> None:
        """Let all the pauses from now on be short."""
        self._go.set()


@pytest.fixture
def service() -> ManyWays:
    return ManyWays()


@pytest.fixture
def plan(tmp_path: Path, service: ManyWays) -> Plan:
    """A bot whose operator lets people link by a device's code."""
    return Plan(
        tmp_path,
        skills=("accounts", "ping", "api"),
        settings=(("many", BY_DEVICE),),
        catalogue=catalogue(tmp_path / "services"),
        http=lambda: service,
    )


@pytest.fixture
async def bench(plan: Plan) -> AsyncIterator[Bench]:
    async with Bench.open(plan) as bench:
        yield bench


@pytest.fixture
def pauses(bench: Bench) -> Pauses:
    bench.core.polling._sleep = pauses = Pauses()
    return pauses


async def ended(bench: Bench) -> None:
    """Wait until nobody asks about a code any more."""
    if tasks := set(bench.core.polling._tasks):
        await asyncio.wait(tasks, timeout=5)
    await bench.settle()


def last(bench: Bench) -> str:
    return bench.network.said[-1].reply.text


async def test_a_typed_code_is_named_and_asked_about(bench: Bench, pauses: Pauses, service: ManyWays) -> None:
    """Nothing is linked until the asker has said that the account is theirs."""
    asked = (await bench.say("!link many --by device"))[-1]

    assert "`WDJB-MJHT`" in asked
    assert "never type a code there that somebody gave you" in asked
    assert "https://many.example/typed" == bench.link_for(ADA)

    service.device = ["authorization_pending", "authorization_pending"]
    pauses.over()
    await ended(bench)

    assert "signed in as **ada-there**" in last(bench)
    assert ["pending"] == [one.status for one in await all_accounts(bench)]

    code = re.search(r"confirm ([A-Z]{4}-[A-Z]{4})", last(bench))

    assert code is not None
    assert "Linked Many ways as **ada-there**" in (await bench.say(f"!confirm {code[1]}"))[-1]
    assert [1.0, 1.0, 1.0] == pauses.waited


async def test_a_server_that_wants_less_is_heeded(bench: Bench, pauses: Pauses, service: ManyWays) -> None:
    """Each `slow_down` adds five seconds, for good (section 3.5)."""
    await bench.say("!link many --by device")
    service.device = ["slow_down", "authorization_pending", "slow_down"]
    pauses.over()
    await ended(bench)

    assert [1.0, 6.0, 6.0, 11.0] == pauses.waited


@pytest.mark.parametrize(
    ("error", "end", "words"),
    [
        ("access_denied", ("refused", "denied"), "You refused"),
        ("expired_token", ("expired", "expired"), "has run out"),
        ("invalid_grant", ("refused", "exchange_failed"), "did not hand over a token"),
    ],
)
async def test_a_code_that_comes_to_nothing(
    bench: Bench, pauses: Pauses, service: ManyWays, error: str, end: tuple[str, str], words: str
) -> None:
    """Its asker hears why, and it is asked about no more."""
    await bench.say("!link many --by device")
    service.device = [error]
    pauses.over()
    await ended(bench)

    assert [end] == [(one.state, one.reason) for one in await all_flows(bench)]
    assert words in last(bench)
    assert [] == await all_accounts(bench)


async def test_a_restart_goes_on_asking(plan: Plan, service: ManyWays) -> None:
    """What the code stands for is kept boxed."""
    async with Bench.open(plan) as bench:
        bench.core.polling._sleep = Pauses()
        await bench.say("!link many --by device")

        assert "device-secret" not in str([dict(row) for row in await bench.rows("SELECT * FROM flows")])

    service.interval = 1
    async with Bench.open(plan) as bench:
        await ended(bench)

        assert ["pending"] == [one.state for one in await all_flows(bench)]


async def test_a_newer_link_ends_the_questions(bench: Bench, pauses: Pauses, service: ManyWays) -> None:
    """The code that was given out first opens nothing any more."""
    await bench.say("!link many --by device")
    await bench.say("!link many")
    pauses.over()
    await ended(bench)

    assert "/token" not in service.paths()


async def test_the_named_account_is_for_the_asker_to_confirm(bench: Bench, pauses: Pauses) -> None:
    """Somebody else's word ends it (A67)."""
    await bench.say("!link many --by device")
    pauses.over()
    await ended(bench)
    code = re.search(r"confirm ([A-Z]{4}-[A-Z]{4})", last(bench))

    assert code is not None

    await bench.say(f"!confirm {code[1]}", GRACE)

    assert ["stolen"] == [one.reason for one in await all_flows(bench)]
    assert [] == await all_accounts(bench)


async def test_a_server_that_is_out_of_order_is_asked_less(bench: Bench, pauses: Pauses, service: ManyWays) -> None:
    """Twice as long each time, a minute at most; then it goes on."""
    await bench.say("!link many --by device")
    service.device = ["temporarily_unavailable"] * 8
    pauses.over()
    await ended(bench)

    assert [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0] == pauses.waited


async def test_where_a_login_proves_who_asked_no_device_does(plan: Plan, service: ManyWays) -> None:
    """Whoever typed the code signed in as themselves, somewhere: that proves nothing of the asker (A66)."""
    async with Bench.open(replace(plan, logins=(("fake", "many@default"),))) as bench:
        said = (await bench.say("!link many --by device"))[-1]

    assert "disabled by the operator" in said
    assert [] == service.asked
