"""`api` calls a linked service by hand, as oneself, within what the operator allows."""

import json
from dataclasses import replace

import pytest

from omnibot.catalogue import ProviderSettings
from omnibot.demo.provider import DemoClient, DemoProvider
from omnibot.ports import free_port
from omnibot.provider import Secret
from omnibot.testing.bench import GRACE, Bench, Plan

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def plan(plan: Plan, provider: DemoProvider) -> Plan:
    """The operator lets people write by hand."""
    port = free_port()
    provider.register(DemoClient("omnibot", "demo-secret", (f"http://127.0.0.1:{port}/callback/demo/default",)))
    settings = ProviderSettings(
        "omnibot",
        Secret("demo-secret"),
        provider.origin,
        scopes=("notes:write",),
        methods=("GET", "POST", "DELETE"),
    )
    return replace(plan, provider=None, settings=(("demo", settings),), port=port)


def inside(text: str) -> str:
    """What stands in the code block of *text*."""
    return text.strip().split("\n", 1)[1].rpartition("\n")[0]


async def test_it_shows_what_the_service_answers(bench: Bench) -> None:
    """As JSON, in any case of the words."""
    await bench.link()
    said = await bench.say("!api DEMO get /api/me")

    assert 1 == len(said)
    assert said[0].strip().startswith("```json\n")
    assert "ada" == json.loads(inside(said[0]))["login"]


async def test_it_sends_what_it_is_given(bench: Bench, provider: DemoProvider) -> None:
    """JSON with blanks in it, as it stands."""
    await bench.link()
    said = await bench.say('!api demo POST /api/notes {"text": "by hand"}')
    gone = await bench.say("!api demo DELETE /api/notes/1")

    assert {"id": 1, "text": "by hand"} == json.loads(inside(said[0]))
    assert ["Done; nothing came back."] == gone
    assert [] == provider.notes("ada")


async def test_a_method_the_operator_did_not_allow_is_refused(bench: Bench, provider: DemoProvider) -> None:
    """Nothing is sent."""
    await bench.link()
    before = len(provider.requests)
    said = await bench.say("!api demo PUT /api/notes/1 {}")

    assert ["Only GET, POST, DELETE may be sent by hand to Demo notes."] == said
    assert before == len(provider.requests)


async def test_a_body_that_is_not_json_is_refused(bench: Bench, provider: DemoProvider) -> None:
    """It says what is wrong with it."""
    await bench.link()
    before = len(provider.requests)
    said = await bench.say("!api demo POST /api/notes {text: x}")

    assert said[0].startswith("The body is not JSON: ")
    assert before == len(provider.requests)


async def test_an_account_may_be_named(bench: Bench) -> None:
    """By its alias."""
    await bench.link()
    await bench.link(login="grace")
    said = await bench.say("!api demo@grace GET /api/me")

    assert "grace" == json.loads(inside(said[0]))["login"]


async def test_a_service_that_is_not_linked_is_linked_first(bench: Bench) -> None:
    """One that is not known is said."""
    missing = await bench.say("!api demo GET /api/me", GRACE)
    unknown = await bench.say("!api moon GET /", GRACE)

    assert "To connect **Demo notes**" in missing[0]
    assert unknown[0].startswith("I do not know that service.")


@pytest.mark.parametrize("path", ["https://evil.example/", "/../x", "/%2e%2e/x", "http://127.0.0.1:1/"])
async def test_it_goes_nowhere_else(bench: Bench, path: str) -> None:
    """A23: the token stays where it belongs; the sentence tells nothing."""
    await bench.link()

    assert ["That address is not one I may call."] == await bench.say(f"!api demo GET {path}")


async def test_a_long_answer_is_cut(bench: Bench, provider: DemoProvider) -> None:
    """Deep parts, long lists, many fields, and the whole; and it says so each time."""
    await bench.link()
    deep = {"a": {"b": {"c": {"d": {"e": 1}, "f": [1, 2]}}}}
    answers = [deep, list(range(25)), {str(n): n for n in range(25)}, ["x" * 100] * 20]
    shown = []
    for answer in answers:
        provider.fail("/api/thing", status=200, body=json.dumps(answer), headers=JSON)
        shown.append(inside((await bench.say("!api demo GET /api/thing"))[0]))

    assert {"a": {"b": {"c": {"d": "… 1 fields", "f": "… 2 entries"}}}} == json.loads(shown[0])
    assert [*range(20), "… 5 more"] == json.loads(shown[1])
    assert "5 more" == json.loads(shown[2])["…"]
    assert shown[3].endswith("\n… (cut)")
    assert 1500 + len("\n… (cut)") == len(shown[3])


async def test_text_is_shown_as_text(bench: Bench, provider: DemoProvider) -> None:
    """Whatever it holds, it does not break out of its block."""
    await bench.link()
    provider.fail("/api/thing", status=200, body="```\n@everyone\n```")
    said = await bench.say("!api demo GET /api/thing")

    assert said[0].strip().startswith("````")
    assert "@everyone" in said[0]
