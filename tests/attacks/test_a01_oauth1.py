"""A1, A2, A3, A8, A10, A12 and A13 at a service of OAuth 1.0a, by redirect and by PIN.

There is no ``state`` and no PKCE there (RFC 5849): an attempt is found by the name of its temporary credentials, whose
secret, boxed until then, signs the exchange; and what ends an attempt by PIN is a number that a person can be asked
for.  So each attack on the binding of an attempt is tried once more, at a service that takes a verifier for the
credentials it was given for and no other, and once.

What must hold: as for OAuth 2.  A victim's click gives nothing; an answer counts only in the browser that began the
attempt, once, at its own callback, and with its own credentials; a PIN counts for whoever asked, in private and once;
the account is named, and undone by one word.

What remains: a victim who tells Mallory their PIN has handed their account over (A66), and nothing of ours comes
between; without a public address not even a page that names her.  That is why the service's own page and the bot's
message are all there is, and docs/security.md says so.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attacks.helpers import ask, audited, ends, fetch, stored
from linking.services import SIGNED, ManyWays, _signed, catalogue, query
from omnibot import oauth, oauth1
from omnibot.accounts import Account
from omnibot.demo.browser import Browser
from omnibot.linking import browser, desk, flows
from omnibot.linking.browser import Browser as Pages
from omnibot.linking.desk import Desk
from omnibot.linking.exchange import Exchange
from omnibot.linking.flows import Flow, find
from omnibot.testing.bench import ADA, MALLORY, Bench, Plan
from omnibot.vault import digest
from omnibot.web import Listener
from omnibot.wire import Answer, Request

PLACE = "https://many.example"


class Strict(ManyWays):
    """The service: a verifier is good for its own temporary credentials, and once; each of them has its own person."""

    def __init__(self) -> None:
        super().__init__()
        self.people: dict[str, str] = {}
        """By temporary credentials: who authorised them."""

        self.taken: list[tuple[str, str]] = []
        """Each exchange that brought a token: the credentials, and whose it is."""

        self.refused: list[str] = []
        """Each that brought none: the credentials."""

        self.ended: list[str] = []
        """Tokens that were handed back."""

    def authorise(self, temporary: str, login: str) -> str:
        """Let *login* press *Allow* for *temporary*; return the verifier, or PIN, that they get."""
        self.people[temporary] = login
        return f"74{temporary.removeprefix('tmp-')}8256"

    def _oauth1_token(self, request: Request) -> Answer:
        said = _signed(request)
        temporary = said["oauth_token"]
        login = self.people.pop(temporary, None)
        if login is None or said["oauth_verifier"] != f"74{temporary.removeprefix('tmp-')}8256":
            self.refused.append(temporary)
            return Answer(401, {}, b"Invalid oauth_verifier parameter")
        self.taken.append((temporary, login))
        return Answer(200, {}, f"oauth_token=of-{login}&oauth_token_secret=lasting-secret".encode())

    def _oauth1_invalidate(self, request: Request) -> Answer:
        self.ended.append(_signed(request)["oauth_token"])
        return Answer(200, {}, b"{}")

    def _me(self, request: Request) -> Answer:
        login = _signed(request)["oauth_token"].removeprefix("of-")
        return Answer(200, {}, f'{{"id":"{login}","login":"{login}-there"}}'.encode())


@pytest.fixture
def service() -> Strict:
    """The service."""
    return Strict()


@pytest.fixture
def plan(tmp_path: Path, service: Strict) -> Plan:
    """A bot with a public address that knows the service by OAuth 1.0a alone."""
    return Plan(
        tmp_path,
        skills=("accounts", "ping", "api"),
        settings=(("many", SIGNED),),
        catalogue=catalogue(tmp_path / "services"),
        http=lambda: service,
    )


@pytest.fixture(params=[True, False], ids=["public", "nowhere"])
async def by_pin(plan: Plan, request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """A bot with, and one without a public address."""
    async with Bench.open(replace(plan, public=request.param)) as bench:
        yield bench


async def go(bench: Bench, person: Browser) -> str:
    """Let *person* press *Continue* on the page of the last link sent; return the credentials they stand with."""
    await person.press("Continue")
    return query(person.url)["oauth_token"]


def back(service: Strict, temporary: str, login: str) -> str:
    """Let *login* authorise *temporary*; return the address that the service sends their browser to."""
    verifier = service.authorise(temporary, login)
    return f"{service.callbacks[0]}?oauth_token={temporary}&oauth_verifier={verifier}"


async def stand(bench: Bench, service: Strict, person: Browser, speaker: Any, login: str) -> str:
    """Let *speaker* ask and *login*, in *person*, allow it; return the callback's address, not gone to."""
    await bench.say("!link many", speaker)
    await person.open(bench.link_for(speaker))
    return back(service, await go(bench, person), login)


def at_service() -> Browser:
    """Return a browser that stops at the service, which nobody serves."""
    return Browser(stop=PLACE)


async def pin_for(bench: Bench, service: Strict, speaker: Any, login: str) -> str:
    """Let *speaker* ask for a link by PIN and *login* allow it, wherever it begins; return the PIN."""
    await bench.say("!link many --by pin", speaker)
    url = bench.link_for(speaker)
    if bench.plan.public:
        async with at_service() as person:
            await person.open(url)
            return service.authorise(await go(bench, person), login)
    return service.authorise(query(url)["oauth_token"], login)


# --------------------------------------------------------------------- A1, A3: the victim clicks


def without_confirming(patch: pytest.MonkeyPatch) -> None:
    """Make an account active as soon as the browser is back."""
    pending = browser._account

    def active(*args: Any) -> Account:
        return replace(pending(*args), status="active")

    patch.setattr(browser, "_account", active)


@pytest.mark.attack("A1", sabotage=without_confirming)
async def test_a_victims_click_gives_nothing(bench: Bench, service: Strict) -> None:
    """The page names Mallory; the token rests PENDING, she acts with nothing, and five guesses end and revoke it."""
    async with at_service() as victim:
        came = await stand(bench, service, victim, MALLORY, "victim")
        page = await fetch(bench.link_for(MALLORY))
        await victim.open(came)
    pending = await stored(bench)
    tried = await bench.say("!api many GET /me", MALLORY)
    for guess in ("AAAA-AAA", "BBBB-BBB", "CCCC-CCC", "DDDD-DDD", "FFFF-FFF"):
        await bench.say(f"!confirm {guess}", MALLORY)
    await bench.core.revoking.work()

    assert ["pending"] == pending
    assert "victim-there" not in " ".join(tried)
    assert page.status in (200, 410)
    assert [] == await stored(bench)
    assert [("refused", "locked")] == await ends(bench)
    assert {"of-victim"} == set(service.ended)


def naming_nobody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(desk, "escape", lambda text: "your account")


@pytest.mark.attack("A3", sabotage=naming_nobody)
async def test_a_pin_names_the_account_and_is_undone_by_a_word(by_pin: Bench, service: Strict) -> None:
    """Ada is talked into saying the PIN of Mallory's account: its name is said, listed, recorded, and gone again."""
    bench = by_pin
    pin = await pin_for(bench, service, ADA, "mallory")
    said = (await bench.say(f"!pin {pin}"))[-1]
    listed = (await bench.say("!accounts"))[-1]
    undone = (await bench.say("!undo"))[-1]
    await bench.core.revoking.work()

    assert "mallory-there" in said
    assert "!undo" in said
    assert "mallory-there" in listed
    assert "mallory-there" in undone
    assert {"of-mallory"} == set(service.ended)
    assert await audited(bench, "link.confirmed")


# --------------------------------------------------------------------- A2: another's answer


class EveryCookie(dict[str, str]):
    """The cookies of a browser that passes for any other."""

    def __missing__(self, flow: str) -> str:
        return "a cookie"


def in_any_browser(patch: pytest.MonkeyPatch) -> None:
    """Ask for no cookie."""
    patch.setattr(Listener, "_attempts", lambda *_: EveryCookie())
    patch.setattr(browser, "_why_wrong", lambda *_: None)


@pytest.mark.attack("A2", sabotage=in_any_browser)
async def test_an_answer_counts_in_its_own_browser(bench: Bench, service: Strict) -> None:
    """Mallory's, replayed amid an attempt of the victim's own, is refused and over; the victim's own is good."""
    async with at_service() as evil, at_service() as victim:
        stolen = await stand(bench, service, evil, MALLORY, "mallory")
        own = await stand(bench, service, victim, ADA, "ada")
        replayed = await ask(victim, stolen)
        too_late = await ask(evil, stolen)
        exchanged = list(service.taken)
        await victim.open(own)
        said = (await bench.say(f"!confirm {victim.code}"))[-1]

    assert [400, 400] == [replayed.status, too_late.status]
    assert [] == exchanged
    assert [("refused", "other_browser"), ("linked", "")] == await ends(bench)
    assert said.startswith("Linked Many ways as **ada-there**")


async def of_anybody(self: Desk, service: str) -> Flow:
    """Take a PIN for whoever waits for one."""
    rows = await self._with.database.read("SELECT * FROM flows ORDER BY created DESC")
    return flows.from_row(self._with.sealer, rows[0])


@pytest.mark.attack("A2", sabotage=lambda patch: patch.setattr(Desk, "_waits_for_pin", of_anybody))
async def test_a_pin_counts_for_who_asked(by_pin: Bench, service: Strict) -> None:
    """The PIN of Mallory's attempt, said by a victim, links nobody; nothing of it reaches the service."""
    bench = by_pin
    pin = await pin_for(bench, service, MALLORY, "mallory")
    said = await bench.say(f"!pin {pin}", ADA)

    assert [] == await stored(bench)
    assert [] == service.taken + service.refused
    assert "I wait for no PIN" in said[-1]


# --------------------------------------------------------------------- A8: twice


async def spend_again(self: Pages, state: str) -> tuple[Flow, str]:
    """Read the attempt without ending it."""
    flow = await find(self._with.database, self._with.sealer, "state_hash", digest(state))
    assert flow is not None
    assert flow.verifier is not None
    return flow, self._with.sealer.unbox(f"verifier:{flow.id}", flow.verifier).decode()


@pytest.mark.attack("A8", sabotage=lambda patch: patch.setattr(Pages, "_spend", spend_again))
async def test_twenty_answers_make_one_exchange(bench: Bench, service: Strict) -> None:
    """One goes on to the code; the others are refused, and the service hears of none of them."""
    async with at_service() as person:
        came = await stand(bench, service, person, ADA, "ada")
        pages = await asyncio.gather(*(ask(person, came) for _ in range(20)))

    assert [("tmp-1", "ada")] == service.taken
    assert [] == service.refused
    assert [303] + [400] * 19 == sorted(page.status for page in pages)


async def exchanging_again(self: Pages, tx: object, flow: Flow) -> str:
    """Read the credentials' secret without ending the attempt."""
    return self._with.sealer.unbox(f"verifier:{flow.id}", flow.verifier or b"").decode()


@pytest.mark.attack("A8", sabotage=lambda patch: patch.setattr(Pages, "_exchanging", exchanging_again))
async def test_a_pin_is_taken_once(by_pin: Bench, service: Strict) -> None:
    """Said ten times at once, one exchange goes out, and there is one account."""
    bench = by_pin
    pin = await pin_for(bench, service, ADA, "ada")
    await asyncio.gather(*(bench.network.hear(f"!pin {pin}", ADA) for _ in range(10)))
    await bench.settle()

    assert [("tmp-1", "ada")] == service.taken
    assert [] == service.refused
    assert ["active"] == await stored(bench)


# --------------------------------------------------------------------- A10, A12: what is no answer of this attempt

FORGED = {
    "made up": "oauth_token=tmp-9&oauth_verifier={pin}",
    "empty": "oauth_token=&oauth_verifier={pin}",
    "no name": "oauth_verifier={pin}",
    "named twice": "oauth_token=tmp-1&oauth_token=tmp-1&oauth_verifier={pin}",
    "verified twice": "oauth_token=tmp-1&oauth_verifier=0&oauth_verifier={pin}",
    "of the other kind": "state=tmp-1&code={pin}",
    "of both kinds": "oauth_token=tmp-1&oauth_verifier={pin}&state=x&code=y",
}


async def the_last(self: Pages, source: object, column: object, value: object) -> Flow:
    """Find the last attempt for any answer."""
    rows = await self._with.database.read("SELECT * FROM flows ORDER BY created DESC")
    return flows.from_row(self._with.sealer, rows[0])


def careless(patch: pytest.MonkeyPatch) -> None:
    """Take any answer for one to the last attempt."""

    def read(query: Any) -> oauth.Callback:
        said: Mapping[str, str] = dict(query)
        return oauth.Callback(said.get("oauth_token", "tmp-1"), code=said.get("oauth_verifier", "0"), oauth1=True)

    patch.setattr(oauth1, "read_callback", read)
    patch.setattr(oauth, "read_callback", read)
    patch.setattr(Pages, "_found", the_last)


@pytest.mark.attack("A10", sabotage=careless)
@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
async def test_no_forged_answer_gets_through(bench: Bench, service: Strict, forged: str) -> None:
    """It is refused before anything goes out, and nothing is stored."""
    async with at_service() as person:
        came = await stand(bench, service, person, ADA, "ada")
        callback, pin = came.partition("?")[0], came.rpartition("=")[2]
        page = await ask(person, f"{callback}?{forged.format(pin=pin)}")

    assert 400 == page.status
    assert [] == service.taken + service.refused
    assert [] == await stored(bench)


def at_any_callback(patch: pytest.MonkeyPatch) -> None:
    """Believe an answer wherever it comes in."""
    patch.setattr(browser, "_why_wrong", lambda *_: None)


@pytest.mark.attack("A12", sabotage=at_any_callback)
async def test_an_answer_counts_at_its_own_callback(bench: Bench, service: Strict) -> None:
    """At another service's, it ends the attempt, and its verifier goes nowhere."""
    async with at_service() as person:
        came = await stand(bench, service, person, ADA, "ada")
        page = await ask(person, came.replace("/callback/many/default", "/callback/demo/default"))

    assert 400 == page.status
    assert [] == service.taken + service.refused
    assert [("refused", "mix_up")] == await ends(bench)


# --------------------------------------------------------------------- A13: verifiers change places


def one_for_all(patch: pytest.MonkeyPatch) -> None:
    """Exchange with the credentials that were authorised last, whoever the answer is of."""
    signed = Exchange._signed_token

    async def any_of(self: Any, instance: Any, flow: Flow, verifier: str, temporary: Any) -> Any:
        name = f"tmp-{verifier.removeprefix('74').removesuffix('8256')}"
        return await signed(self, instance, flow, verifier, replace(temporary, access=name))

    patch.setattr(Exchange, "_signed_token", any_of)


@pytest.mark.attack("A13", sabotage=one_for_all)
async def test_a_verifier_is_good_with_its_own_credentials_only(bench: Bench, service: Strict) -> None:
    """Two verifiers change places in their browsers: the service refuses both, and nobody is linked."""
    async with at_service() as evil, at_service() as person:
        hers = await stand(bench, service, evil, MALLORY, "mallory")
        own = await stand(bench, service, person, ADA, "ada")
        injected = await ask(evil, hers.rpartition("=")[0] + "=" + own.rpartition("=")[2])
        planted = await ask(person, own.rpartition("=")[0] + "=" + hers.rpartition("=")[2])

    assert [502, 502] == [injected.status, planted.status]
    assert [] == service.taken
    assert [] == await stored(bench)


@pytest.mark.attack("A13", sabotage=one_for_all)
async def test_a_pin_is_good_with_its_own_credentials_only(by_pin: Bench, service: Strict) -> None:
    """The victim's PIN, which Mallory saw on a shared screen, is worth nothing in an attempt of hers."""
    bench = by_pin
    await pin_for(bench, service, MALLORY, "mallory")
    seen = await pin_for(bench, service, ADA, "ada")
    said = await bench.say(f"!pin {seen}", MALLORY)
    own = await bench.say(f"!pin {seen}", ADA)

    assert "did not take that PIN" in said[-1]
    assert own[-1].startswith("Linked Many ways as **ada-there**")
    assert [("tmp-2", "ada")] == service.taken
