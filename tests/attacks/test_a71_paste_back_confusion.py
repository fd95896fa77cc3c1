"""A71, paste-back confusion: an address that is not the one, pasted into the chat.

Without a public address the browser ends at a loopback address that nobody serves, and its owner
pastes what the address bar says (RFC 8252).  So whatever looks like it is tried: another host, port,
path or provider, a state of nobody or of somebody else, a bare code; and the true one where
others read it.

What must hold: the pasted address equals the flow's redirect address character by character, and
carries its state, or its code is not read: the service sees no token request, and the flow stays
good for the true address.  Pasted in a room it is retracted and the flow void; pasted by somebody
else, the flow ends and they are warned.

What remains: a program on the person's own machine that listens on the paste port; by default that
is a port which browsers refuse to open.
"""

from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from attacks.helpers import answered, ends, stopping, stored
from omnibot import oauth
from omnibot.demo.provider import DemoProvider
from omnibot.identity import Assurance, Identity
from omnibot.linking import confirming
from omnibot.linking.confirming import Confirming
from omnibot.linking.flows import Flow
from omnibot.message import Message
from omnibot.oauth import Callback
from omnibot.testing.bench import ADA, GRACE, MALLORY, PASTE_PORT, Bench, Plan

HERE = f"http://127.0.0.1:{PASTE_PORT}/callback/demo/default"


@pytest.fixture
def plan(plan: Plan) -> Plan:
    """A bot without a public address."""
    return replace(plan, public=False)


async def address_bar(bench: Bench, speaker: Identity = ADA, login: str = "ada") -> str:
    """Let *speaker* begin, and *login* authorise; return what the browser then shows."""
    async with stopping(bench.plan) as browser:
        return await answered(bench, browser, speaker, login)


def tokens_asked_for(provider: DemoProvider) -> int:
    """Return how often the token endpoint was asked."""
    return provider.requests.count("POST /token")


def anything(text: str, redirect_uri: str) -> Callback:
    """Read the answer in *text*, whatever address it stands in."""
    return oauth.read_callback(text.strip("<> `").partition("?")[2])


WRONG = {
    "another host": "http://localhost:9/callback/demo/default?{}",
    "user information": "http://127.0.0.1:9@127.0.0.1:9/callback/demo/default?{}",
    "another scheme": "https://127.0.0.1:9/callback/demo/default?{}",
    "another provider": "http://127.0.0.1:9/callback/oidc/default?{}",
    "another instance": "http://127.0.0.1:9/callback/demo/other?{}",
    "a slash more": "http://127.0.0.1:9/callback/demo/default/?{}",
    "a climb": "http://127.0.0.1:9/callback/demo/x/../default?{}",
    "a fragment": "http://127.0.0.1:9/callback/demo/default?{}#x",
    "words around": "it says http://127.0.0.1:9/callback/demo/default?{} now",
}
UNLIKE = {
    "another port": "http://127.0.0.1:99/callback/demo/default?{}",
    "no port": "http://127.0.0.1/callback/demo/default?{}",
    "another spelling": "http://127.0.0.1:09/callback/demo/default?{}",
    "a host that begins alike": "http://127.0.0.1:9.evil.example/callback/demo/default?{}",
    "another place": "https://bot.example/callback/demo/default?{}",
    "no scheme": "127.0.0.1/callback/demo/default?{}",
}


@pytest.mark.attack("A71", sabotage=lambda patch: patch.setattr(oauth, "read_pasted", anything))
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
async def test_another_address_is_refused_unread(bench: Bench, provider: DemoProvider, wrong: str) -> None:
    """The true code and state, in any other address, redeem nothing; in the true one, they do."""
    pasted = await address_bar(bench)

    said = await bench.say(wrong.format(urlsplit(pasted).query))

    assert pasted.startswith(f"{HERE}?")
    assert 0 == tokens_asked_for(provider)
    assert "That is not the address I wait for" in said[0]
    assert (await bench.say(f"<{pasted}>"))[0].startswith("Linked")


@pytest.mark.attack("A71")
@pytest.mark.parametrize("wrong", UNLIKE.values(), ids=UNLIKE.keys())
async def test_what_is_not_even_alike_is_not_read(bench: Bench, provider: DemoProvider, wrong: str) -> None:
    """An address that could be none of ours is so many words, and redeems nothing either."""
    pasted = await address_bar(bench)

    said = await bench.say(wrong.format(urlsplit(pasted).query))

    assert 0 == tokens_asked_for(provider)
    assert [] == [text for text in said if text.startswith("Linked")]
    assert (await bench.say(pasted))[0].startswith("Linked")


@pytest.mark.attack("A71")
@pytest.mark.parametrize("shape", ["{code}", "code={code}", "?code={code}&state={state}", "!confirm {code}"])
async def test_a_bare_code_is_refused(bench: Bench, provider: DemoProvider, shape: str) -> None:
    """A code without its address might be anybody's, and is not redeemed."""
    pasted = parse_qs(urlsplit(await address_bar(bench)).query)

    await bench.say(shape.format(code=pasted["code"][0], state=pasted["state"][0]))

    assert 0 == tokens_asked_for(provider)
    assert [] == await stored(bench)


def any_state(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(confirming, "same", lambda one, other: True)


@pytest.mark.attack("A71", sabotage=any_state)
async def test_the_state_of_somebody_elses_flow_is_refused_unread(bench: Bench, provider: DemoProvider) -> None:
    """Ada's code with the state of Mallory's flow redeems nothing; Mallory's flow is over, Ada's is not."""
    query = parse_qs(urlsplit(await address_bar(bench)).query)
    others = parse_qs(urlsplit(await address_bar(bench, MALLORY, "mallory")).query)

    await bench.say(f"{HERE}?code={query['code'][0]}&iss={query['iss'][0]}&state={others['state'][0]}")

    assert 0 == tokens_asked_for(provider)
    assert [("open", ""), ("refused", "stolen")] == await ends(bench)


@pytest.mark.attack("A71")
@pytest.mark.parametrize("state", ["state=" + "A" * 43, "state=", "", "state=1&state=2"])
async def test_another_state_is_refused_unread(bench: Bench, provider: DemoProvider, state: str) -> None:
    """The right address with a state that is not its flow's redeems nothing."""
    query = parse_qs(urlsplit(await address_bar(bench)).query)

    said = await bench.say(f"{HERE}?code={query['code'][0]}&iss={query['iss'][0]}&{state}")

    assert 0 == tokens_asked_for(provider)
    assert "does not belong to a link you have open" in said[0]
    assert [("open", "")] == await ends(bench)


@pytest.mark.attack("A71", sabotage=lambda patch: patch.setattr(oauth, "check_issuer", lambda server, answer: None))
async def test_another_issuer_ends_it(bench: Bench, provider: DemoProvider) -> None:
    """An answer that names another server is not redeemed, and the flow is over."""
    provider.iss_override = "https://evil.example"

    said = await bench.say(await address_bar(bench))

    assert 0 == tokens_asked_for(provider)
    assert any("did not come from the server" in text for text in said)
    assert [("refused", "issuer")] == await ends(bench)


def anywhere(patch: pytest.MonkeyPatch) -> None:
    """Take what is pasted in a room as if it were said in private."""
    paste = Confirming.paste

    async def take(self: Confirming, identity: Identity, message: Message) -> Flow:
        return await paste(self, identity, replace(message, channel=replace(message.channel, private=True)))

    patch.setattr(Confirming, "paste", take)


@pytest.mark.attack("A71", sabotage=anywhere)
async def test_pasted_in_a_room_it_is_void(bench: Bench, provider: DemoProvider) -> None:
    """The paste is retracted, its code not read, and the same address is worth nothing in private either."""
    pasted = await address_bar(bench)
    room = bench.network.room("ops", ADA, MALLORY)

    said = await bench.say(pasted, ADA, room)
    again = await bench.say(pasted)

    assert 0 == tokens_asked_for(provider)
    assert [("refused", "seen")] == await ends(bench)
    assert [pasted] == [one.text for one in bench.network.retracted]
    assert [] == bench.network.texts(room)
    assert any("burnt" in text for text in said)
    assert not again[0].startswith("Linked")


async def _unknown(self: Confirming, identity: Identity, text: str) -> str:
    return "unknown"


@pytest.mark.attack("A71", sabotage=lambda patch: patch.setattr(Confirming, "_whose_paste", _unknown))
@pytest.mark.parametrize("where", ["private", "room"])
async def test_somebody_elses_address_ends_their_flow(bench: Bench, provider: DemoProvider, where: str) -> None:
    """Who pastes what Mallory asked for is warned; the code is not read, and Mallory cannot paste it later."""
    pasted = await address_bar(bench, MALLORY, "grace")
    room = bench.network.room("ops", GRACE, MALLORY) if where == "room" else None

    said = await bench.say(pasted, GRACE, room)
    later = await bench.say(pasted, MALLORY)

    assert 0 == tokens_asked_for(provider)
    assert any("somebody else asked for" in text for text in said)
    assert [("refused", "stolen")] == await ends(bench)
    assert not later[0].startswith("Linked")
    assert [] == await stored(bench)


@pytest.mark.attack("A71")
async def test_it_is_pasted_once_and_no_weaker_than_asked(bench: Bench, provider: DemoProvider) -> None:
    """A message that proves less than the one that asked is refused; the address is good once."""
    pasted = await address_bar(bench)
    await bench.network.hear(pasted, ADA, assurance=Assurance.ACCOUNT)
    await bench.settle()
    weaker = tokens_asked_for(provider)
    said = [await bench.say(pasted), await bench.say(pasted)]

    assert 0 == weaker
    assert [True, False] == [texts[0].startswith("Linked") for texts in said]
    assert 1 == tokens_asked_for(provider)
