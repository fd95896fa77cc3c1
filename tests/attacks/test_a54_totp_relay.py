"""A54: a one-time code on its way through a chat.

Ada's key alone may not do everything: for the rest she says the code that her device shows.  Whoever reads it, in a
room, in a log, in a database, has half a minute; whoever has the session that it opened has an hour.

What must hold: a code is taken in private only.  It goes out once, whatever comes of it, and said again it is refused
before anything goes out, for longer than any service would take it.  It is on no disk and in no log; nor are the
credentials that it opened, which are sealed to their person, and gone with the link, with the hour, and with a
restart.  Nobody gets to guess.  The server, ours in these tests (tests/servers/aws), takes the step of the moment and
the two beside it, each once.

What remains: the private conversation's other end keeps what was said there, when it is good for nothing any more.
"""

import logging
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attacks.canaries import leaks, logged
from omnibot import session, stepup
from omnibot.accounts import Account
from omnibot.catalogue import ProviderSettings
from omnibot.linking.beginning import Beginning
from omnibot.provider import Instance, Token
from omnibot.stepup import StepUps
from omnibot.testing.bench import ADA, GRACE, MALLORY, Bench, Plan
from omnibot.vault import PersonKeys, TokenHead
from omnibot.wire import Request
from servers.aws.server import Aws, Named

SPENT = "That code was said before, and each is good once. Wait for the next one."
OPEN = "Your session at AWS is open until"


@pytest.fixture
def plan(tmp_path: Path, aws: Aws) -> Plan:
    """A bot that knows AWS, and takes its keys in private chats too."""
    settings = ProviderSettings(chat_keys=True)
    return Plan(tmp_path, skills=("accounts", "aws"), settings=(("aws", settings),), http=lambda: Named(aws))


@pytest.fixture
async def bench(plan: Plan, aws: Aws) -> AsyncIterator[Bench]:
    """Ada has linked the key of alice."""
    async with Bench.open(plan) as bench:
        await bench.say(f"!link aws {aws.key()}")
        yield bench


async def stops(bench: Bench, aws: Aws, speaker: Any = ADA) -> bool:
    """Let *speaker* stop alice's instance; return whether AWS was asked to, and did."""
    before = len(aws.did("StopInstances"))
    await bench.say(f"!aws stop {aws.instances['alice@eu-west-1']} --all", speaker)
    await bench.say("yes", speaker)
    return [error for _, _, error in aws.did("StopInstances")[before:]] == [""]


def unspent(patch: pytest.MonkeyPatch) -> None:
    """Remember no code."""
    patch.setattr(StepUps, "spend", lambda *_: None)


@pytest.mark.attack("A54", sabotage=unspent)
@pytest.mark.parametrize("which", ["right", "wrong"])
async def test_a_code_goes_out_once(bench: Bench, aws: Aws, which: str) -> None:
    """Said again it is refused here, be it that it opened a session or that AWS did not take it."""
    code = aws.code() if which == "right" else aws.wrong_code()
    first = await bench.say(f"!aws mfa {code}")
    again = await bench.say(f"!aws mfa {code}")

    assert first[0].startswith(OPEN) == (which == "right")
    assert [SPENT] == again
    assert 1 == len(aws.did("GetSessionToken"))


@pytest.mark.attack("A54", sabotage=lambda patch: patch.setattr(stepup, "_SPENT", 60.0))
async def test_it_is_remembered_for_longer_than_it_is_good(bench: Bench, aws: Aws) -> None:
    """Two minutes, with the steps before and after."""
    code = aws.code(steps=1)
    await bench.say(f"!aws mfa {code}")
    bench.clock.pass_(120)
    aws.later(120)
    again = await bench.say(f"!aws mfa {code}")

    assert [SPENT] == again
    assert 1 == len(aws.did("GetSessionToken"))


def by_link(patch: pytest.MonkeyPatch) -> None:
    """Remember codes by the link, instead of by the account at the service."""
    spend = StepUps.spend

    def by_id(self: StepUps, account: Account, code: str) -> None:
        spend(self, replace(account, external=account.id), code)

    patch.setattr(StepUps, "spend", by_id)


@pytest.mark.attack("A54", sabotage=by_link)
async def test_a_new_link_does_not_make_it_good_again(bench: Bench, aws: Aws) -> None:
    """Nor does somebody else's link to the same account."""
    code = aws.code()
    await bench.say(f"!aws mfa {code}")
    await bench.say("!unlink aws")
    await bench.say(f"!link aws {aws.key()}")
    again = await bench.say(f"!aws mfa {code}")

    assert [SPENT] == again
    assert 1 == len(aws.did("GetSessionToken"))


@pytest.mark.attack("A54", sabotage=lambda patch: patch.setattr("omnibot.dispatcher.holds_secret", lambda _: False))
async def test_said_in_a_room_it_is_not_taken(bench: Bench, aws: Aws) -> None:
    """It is removed where that can be done, and its speaker told why; what was said is repeated nowhere."""
    code = aws.code()
    await bench.say(f"!aws mfa {code}", ADA, bench.network.room("ops", ADA, GRACE))

    assert [] == aws.did("GetSessionToken")
    assert 1 == len(bench.network.retracted)
    assert "You said a one-time code where others can read it, and I have not taken it." in bench.network.texts(ADA)[-1]
    assert code not in "".join(bench.network.texts())


def chatty(patch: pytest.MonkeyPatch) -> None:
    """Log what is sent."""
    made = stepup.session_request

    def loud(instance: Instance, code: str, device: str) -> Request:
        request = made(instance, code, device)
        logging.getLogger("omnibot.session").info("asking: %s", request.body)
        return request

    patch.setattr(session, "session_request", loud)


@pytest.mark.attack("A54", sabotage=chatty)
@pytest.mark.parametrize("which", ["right", "wrong"])
async def test_it_is_logged_and_stored_nowhere(
    bench: Bench, aws: Aws, which: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in the log, not in any table, not in the audit; the answer does not repeat it."""
    caplog.set_level(logging.DEBUG)
    code = aws.code() if which == "right" else aws.wrong_code()
    said = await bench.say(f"!aws mfa {code}")
    await bench.core.audit.flush()
    tables = [str(row["name"]) for row in await bench.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
    rows = [await bench.rows(f"SELECT * FROM {one}") for one in tables]  # noqa: S608 - its own

    alone = re.compile(rf"(?<![\d.]){code}(?!\d)")  # and not among the digits of a time
    assert not alone.search(logged(caplog))
    assert not alone.search(repr(rows))
    assert code not in said[0]


def parked(patch: pytest.MonkeyPatch) -> None:
    """Let whatever is said wait for its link."""
    begin = Beginning.begin

    async def waits(self: Beginning, *what: Any, **how: Any) -> str:
        return await begin(self, *what, **{**how, "parked": True})

    patch.setattr(Beginning, "begin", waits)


@pytest.mark.attack("A54", sabotage=parked)
async def test_where_nothing_is_linked_it_waits_for_nothing(plan: Plan, aws: Aws) -> None:
    """A command that lacks a link waits for it, on the disk; this one does not."""
    async with Bench.open(plan) as bench:
        await bench.say(f"!aws mfa {aws.code()}")
        waits = await bench.rows("SELECT * FROM waiting")
        assert bench.link_for()

    assert [] == waits


def kept(patch: pytest.MonkeyPatch) -> None:
    """Put what was opened into the log."""
    keep = StepUps.keep

    def loud(self: StepUps, account: Account, keys: PersonKeys, head: TokenHead, token: Token) -> float:
        logging.getLogger("omnibot.stepup").info("opened %s", token.access)
        return keep(self, account, keys, head, token)

    patch.setattr(StepUps, "keep", loud)


@pytest.mark.attack("A54", sabotage=kept)
async def test_what_it_opened_shows_nowhere(bench: Bench, aws: Aws, caplog: pytest.LogCaptureFixture) -> None:
    """Sealed, in memory: not on the disk, in no log, in nothing that prints itself."""
    caplog.set_level(logging.INFO)
    opened: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        read = stepup.read_session

        def noting(*what: Any) -> Token:
            token = read(*what)
            opened.extend(token.access.split(":", 2)[1:])
            return token

        patch.setattr(session, "read_session", noting)
        await bench.say(f"!aws mfa {aws.code()}")
    stopped = await stops(bench, aws)
    await bench.core.database.checkpoint()

    assert stopped
    assert 2 == len(opened)
    assert {} == await leaks(bench, caplog, opened)


def deaf(patch: pytest.MonkeyPatch) -> None:
    """Let go of no session but by the clock."""
    patch.setattr(StepUps, "_changed", lambda *_: None)


@pytest.mark.attack("A54", sabotage=deaf)
async def test_it_goes_with_the_link(bench: Bench, aws: Aws) -> None:
    """At once; and what is linked next has none."""
    await bench.say(f"!aws mfa {aws.code()}")
    await bench.say("!unlink aws")
    await bench.core.stepups.settle()
    left = repr(bench.core.stepups)
    await bench.say(f"!link aws {aws.key()}")

    assert "<StepUps 0>" == left
    assert not await stops(bench, aws)


@pytest.mark.attack("A54", sabotage=lambda patch: patch.setattr(StepUps, "_prune", lambda *_: None))
async def test_it_goes_with_its_hour(bench: Bench, aws: Aws) -> None:
    """By our clock, whatever AWS says."""
    await bench.say(f"!aws mfa {aws.code()}")
    bench.clock.pass_(3600)

    assert not await stops(bench, aws)


@pytest.mark.attack("A54")
async def test_it_goes_with_a_restart(bench: Bench, plan: Plan, aws: Aws) -> None:
    """The link stays."""
    await bench.say(f"!aws mfa {aws.code()}")
    async with Bench.open(replace(plan, networks=())) as again:
        who = await again.say("!aws whoami")

    assert "You are **alice**" in who[0]
    assert "No session is open" in who[0]


def anybodys(patch: pytest.MonkeyPatch) -> None:
    """Let whoever asks have the session that is open."""
    patch.setattr(StepUps, "sealed", lambda self, *_: next((one.sealed for one in self._sessions.values()), None))


@pytest.mark.attack("A54", sabotage=anybodys)
async def test_another_persons_session_is_not_used(bench: Bench, aws: Aws) -> None:
    """Mallory, who has linked an account of his own, does nothing with hers."""
    await bench.say(f"!link aws {aws.key('bob')}", MALLORY)
    await bench.say(f"!aws mfa {aws.code()}")
    who = await bench.say("!aws whoami", MALLORY)
    stopped = await stops(bench, aws, MALLORY)

    assert "You are **bob**" in who[0]
    assert "No session is open" in who[0]
    assert not stopped
    assert [("bob", False, "UnauthorizedOperation")] == aws.did("StopInstances")


@pytest.mark.attack("A54", sabotage=lambda patch: patch.setattr(stepup, "_MOST_CODES", 10**6))
async def test_nobody_gets_to_guess(bench: Bench, aws: Aws) -> None:
    """Five codes in five minutes; the sixth is not sent, right as it is."""
    near = {aws.code(steps=steps) for steps in range(-9, 10)}
    wrong = [code for code in (f"{number:06}" for number in range(100)) if code not in near][:5]
    for code in wrong:
        await bench.say(f"!aws mfa {code}")
    said = await bench.say(f"!aws mfa {aws.code()}")
    bench.clock.pass_(301)
    later = await bench.say(f"!aws mfa {aws.code()}")

    assert said[0].startswith("That were many codes in a short time.")
    assert later[0].startswith(OPEN)
    assert 6 == len(aws.did("GetSessionToken"))


@pytest.mark.attack("A54")
@pytest.mark.parametrize(("steps", "taken"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
async def test_the_server_takes_the_steps_beside_the_present_one(
    bench: Bench, aws: Aws, steps: int, taken: bool
) -> None:
    """And none beyond."""
    said = await bench.say(f"!aws mfa {aws.code(steps=steps)}")

    assert said[0].startswith(OPEN) == taken
    assert [("alice", False, "" if taken else "AccessDenied")] == aws.did("GetSessionToken")


@pytest.mark.attack("A54")
async def test_the_server_takes_none_older_than_what_it_took(bench: Bench, aws: Aws) -> None:
    """As RFC 6238 section 5.2 has it: the same one is refused there too, had it come so far."""
    await bench.say(f"!aws mfa {aws.code()}")
    older = await bench.say(f"!aws mfa {aws.code(steps=-1)}")

    assert older[0].startswith("AWS did not take that code")
    assert [("alice", False, ""), ("alice", False, "AccessDenied")] == aws.did("GetSessionToken")
