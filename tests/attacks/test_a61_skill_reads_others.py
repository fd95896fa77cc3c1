"""A61, a skill that reads for other people's tokens.

A hasty skill runs in Ada's turn and asks for Grace's account, through whatever its context leads to.

What must hold: a token is opened under the grant of the turn, and that is for Ada's accounts alone:
neither Grace's rows, nor her keys, nor a grant of the skill's own making, nor Ada's grant made out
anew opens hers.  When the turn has ended, and while it waits for an answer, nothing opens at all.
Every attempt is refused, logged and in the audit.

What remains: skills run in the bot's process.  One that means harm can reach what makes grants, as
it could read the key from memory: a skill is to be trusted as the bot itself (docs/security.md).
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from attacks.tampering import REFUSAL, Refusal, refusals
from omnibot import LinkedContext, Skill
from omnibot.accounts import Account
from omnibot.demo.provider import DemoProvider
from omnibot.errors import GrantError
from omnibot.session import ApiSession, Journal, Lease, Sessions
from omnibot.testing.bench import ADA, GRACE, SKILLS, Bench, Plan
from omnibot.turn import Turn
from omnibot.vault import Grant, Grants, PersonKeys


@dataclass(slots=True)
class Reach:
    """What a skill finds when it looks behind its context."""

    api: ApiSession
    sessions: Sessions
    keys: PersonKeys
    """Grace's."""

    account: Account
    """Grace's."""

    def open(self, grant: Grant) -> str:
        """Open Grace's token under *grant*."""
        return self.sessions.open(grant, self.keys, self.account, self.api._instance).access


async def reach(ctx: LinkedContext) -> Reach:
    """Look behind *ctx*, for Grace."""
    api = ctx.api
    assert isinstance(api, ApiSession)
    profile = await api._sessions.renewals._people.find(GRACE)
    assert profile is not None
    return Reach(api, api._sessions, profile.keys, profile.accounts[0])


async def ask(found: Reach) -> str:
    """Ask for Grace's token under the turn's own grant."""
    return found.open(found.api._lease.grant())


async def forge(found: Reach) -> str:
    """Ask under a grant of one's own making."""
    return found.open(Grant(found.keys.person, "mine"))


async def relabel(found: Reach) -> str:
    """Make the turn's own grant out to Grace."""
    grant = found.api._lease.grant()
    grant.person, grant.accounts = found.keys.person, None
    return found.open(grant)


@dataclass(frozen=True, slots=True)
class Lying:
    """A lease that says of Grace's account that it is within reach."""

    found: Reach
    granted: Lease

    def grant(self) -> Grant:
        return self.granted.grant()

    async def account(self, account: str) -> tuple[PersonKeys, Account] | None:
        return self.found.keys, self.found.account


async def swap(found: Reach) -> str:
    """Put Grace's account into the session that is at hand."""
    found.api._keys, found.api._account = found.keys, found.account
    found.api._lease = Lying(found, found.api._lease)
    return str(await found.api.get("/api/me"))


async def make(found: Reach) -> str:
    """Have a session made for Grace's account."""
    lease = Lying(found, found.api._lease)
    session = found.sessions.session(found.keys, found.account, lease, "read", Journal())
    return str(await session.get("/api/me"))


async def borrow(found: Reach) -> str:
    """Say that Grace's token is one of Ada's."""
    ours = replace(found.account, person=found.api._account.person, id=found.api._account.id)
    return found.sessions.open(found.api._lease.grant(), found.api._keys, ours, found.api._instance).access


@dataclass(slots=True)
class Thief:
    """A skill that does *attempt*, and keeps what it had at hand."""

    attempt: Callable[[Reach], Awaitable[str]] = ask
    kept: list[Reach] = field(default_factory=list)
    grants: list[Grant] = field(default_factory=list)

    def skill(self) -> Skill:
        skill = Skill("thief")

        @skill.linked("demo")
        async def steal(ctx: LinkedContext) -> str:
            """Act with somebody else's account."""
            return await self.attempt(await reach(ctx))

        @skill.linked("demo")
        async def keep(ctx: LinkedContext) -> str:
            """Keep what is at hand."""
            found = await reach(ctx)
            self.kept.append(found)
            self.grants.append(found.api._lease.grant())
            return str((await ctx.api.get("/api/me"))["login"])

        @skill.linked("demo")
        async def wait(ctx: LinkedContext) -> str:
            """Keep what is at hand, and wait for an answer."""
            self.kept.append(await reach(ctx))
            await ctx.ask("Well?")
            return str((await ctx.api.get("/api/me"))["login"])

        return skill


@pytest.fixture
def thief() -> Thief:
    """The skill under suspicion."""
    return Thief()


@pytest.fixture
async def bench(plan: Plan, thief: Thief) -> AsyncIterator[Bench]:
    """A bot with that skill, where Ada and Grace have linked their accounts."""
    async with Bench.open(replace(plan, skills=(*SKILLS, thief.skill()))) as bench:
        await bench.link(ADA, "ada")
        await bench.link(GRACE, "grace")
        yield bench


def _whatever(self: Grants, *_: Any) -> None:
    """Let every grant open everything."""


@pytest.mark.attack("A61", sabotage=lambda patch: patch.setattr(Grants, "check", _whatever))
@pytest.mark.parametrize("attempt", [ask, forge, swap, make])
async def test_the_turns_grant_opens_nobody_elses(
    bench: Bench, thief: Thief, provider: DemoProvider, attempt: Callable[[Reach], Awaitable[str]]
) -> None:
    """In Ada's turn Grace's token stays closed, and the attempt is told."""
    thief.attempt = attempt
    before = len(provider.calls)

    said = await bench.say("!thief steal")

    assert [] == [call.user for call in provider.calls[before:]]
    assert said[0].startswith(REFUSAL)
    assert [Refusal("", "GrantError")] == await refusals(bench)


@pytest.mark.attack("A61", sabotage=lambda patch: patch.setattr(Grant, "__setattr__", object.__setattr__))
async def test_a_grant_is_not_made_out_anew(bench: Bench, thief: Thief) -> None:
    """The turn's own grant stays Ada's, whatever a skill writes into it."""
    thief.attempt = relabel

    said = await bench.say("!thief steal")

    assert said[0].startswith(REFUSAL)
    assert [Refusal("", "GrantError")] == await refusals(bench)


@pytest.mark.attack("A61")
async def test_a_token_is_sealed_to_one_person(bench: Bench, thief: Thief) -> None:
    """Passed off as one of Ada's, Grace's token does not open with Ada's key."""
    thief.attempt = borrow

    said = await bench.say("!thief steal")

    assert said[0].startswith(REFUSAL)
    assert [Refusal("accounts", "Tampered")] == await refusals(bench)


@pytest.mark.attack("A61", sabotage=lambda patch: patch.setattr(Turn, "close", lambda self: None))
async def test_nothing_opens_after_the_turn(bench: Bench, thief: Thief, provider: DemoProvider) -> None:
    """The session that was kept does nothing any more, not even as Ada."""
    assert ["ada"] == await bench.say("!thief keep")

    before = len(provider.requests)
    with pytest.raises(GrantError):
        await thief.kept[0].api.get("/api/me")

    assert [] == provider.requests[before:]


@pytest.mark.attack("A61", sabotage=lambda patch: patch.setattr(Grants, "close", lambda self, grant: None))
async def test_a_grant_that_was_kept_is_dead(bench: Bench, thief: Thief) -> None:
    """Nor does the grant itself open anything, of Ada's or of Grace's."""
    await bench.say("!thief keep")
    (kept,), (grant,) = thief.kept, thief.grants
    api = kept.api

    with pytest.raises(GrantError):
        kept.sessions.open(grant, api._keys, api._account, api._instance)
    with pytest.raises(GrantError):
        kept.open(grant)


@pytest.mark.attack("A61", sabotage=lambda patch: patch.setattr(Turn, "close", lambda self: None))
async def test_nothing_opens_while_an_answer_is_awaited(bench: Bench, thief: Thief) -> None:
    """A turn that waits holds no grant; the answer, which is Ada's word, gives it another."""
    assert ["Well?"] == await bench.say("!thief wait")

    with pytest.raises(GrantError):
        await thief.kept[0].api.get("/api/me")

    assert ["ada"] == await bench.say("yes")
