"""A10: a state that is empty, missing, doubled or made up.

Answers are forged by hand: without a state, with an empty one (which must not equal the state of a flow
that has none), with two of something, with what is no answer at all; against a process that has just been
started and remembers nothing.

What must hold: every one of them is refused with a 400 before a single request goes out, and spends
nothing: the person's own answer still counts.

What remains: nothing known.
"""

from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import parse_qsl

import pytest

from attacks.helpers import answered, arrive, ask, ends, stopping
from omnibot import oauth
from omnibot.demo.provider import DemoProvider
from omnibot.ports import free_port
from omnibot.testing.bench import Bench, Plan

FORGED = (
    "",
    "state=",
    "code={code}",
    "code={code}&state=",
    "code=&state={state}",
    "state={state}",
    "code={code}&state={state}&state={state}",
    "code={code}&state={state}&state=",
    "state=&state={state}&code={code}",
    "code={code}&code={code}&state={state}",
    "code={code}&state={state}&iss={iss}&iss={iss}",
    "code={code}&state={state}&error=access_denied",
    "error=access_denied",
    "code={code}&state[]={state}",
    "code={code}&State={state}",
    "code={code}&state={state}%00",
    "code={code}&state=%20{state}",
    "code={code}&state={state}%0d%0aX-Evil:1",
    "code={code}&state=%ff%fe",
    "code={code}&state=null",
    "code={code}&state=undefined",
    "code={code}&state=0",
    "code={code}&state={long}",
    "code={code}&state={other}",
    "code={code};state={state}",
    "{many}&code={code}&state={state}",
)
"""Queries of which none is the answer that was asked for."""


def forged(url: str) -> dict[str, str]:
    """Return each of them, as an address, made of the true *url*."""
    address, _, query = url.partition("?")
    true = dict(parse_qsl(query))
    filled = {
        "code": true["code"],
        "state": true["state"],
        "iss": true["iss"],
        "long": "A" * 5000,
        "other": true["state"].swapcase(),
        "many": "&".join(f"x{number}=1" for number in range(60)),
    }
    return {one: f"{address}?{one.format(**filled)}" for one in FORGED}


def read_leniently(patch: pytest.MonkeyPatch) -> None:
    """Take the last of everything, and what is missing as empty."""

    def lenient(query: str | Sequence[tuple[str, str]]) -> oauth.Callback:
        known = dict(parse_qsl(query) if isinstance(query, str) else query)
        return oauth.Callback(known.get("state", ""), known.get("code", ""), "", known.get("iss", ""))

    patch.setattr(oauth, "read_callback", lenient)


@pytest.mark.attack("A10", sabotage=read_leniently)
async def test_no_forged_answer_gets_through(plan: Plan, provider: DemoProvider) -> None:
    """In a fresh process and the very browser that began: all refused, none heard of at the service, none harmful."""
    plan = replace(plan, port=free_port())
    async with stopping(plan) as person:
        async with Bench.open(plan) as bench:
            url = await answered(bench, person)
        async with Bench.open(bench.plan, bench.clock) as bench:
            provider.requests.clear()
            statuses = {one: (await ask(person, at)).status for one, at in forged(url).items()}
            requests = list(provider.requests)
            flows = await ends(bench)
            await arrive(person, url)

            assert dict.fromkeys(FORGED, 400) == statuses
            assert [] == requests
            assert [("open", "")] == flows
            assert person.code


@pytest.mark.attack("A10", sabotage=read_leniently)
async def test_no_forged_answer_gets_through_when_pasted(plan: Plan, provider: DemoProvider) -> None:
    """The same, pasted into the chat of the very person who asked."""
    plan = replace(plan, public=False)
    async with stopping(plan) as person:
        async with Bench.open(plan) as bench:
            url = await answered(bench, person)
        async with Bench.open(bench.plan, bench.clock) as bench:
            provider.requests.clear()
            answers = {one: await bench.say(at) for one, at in forged(url).items()}
            linked = [one for one, said in answers.items() if any("Linked" in text for text in said)]
            requests = list(provider.requests)
            flows = await ends(bench)
            true = await bench.say(url)

            assert [] == linked
            assert [] == requests
            assert [("open", "")] == flows
            assert all(answers.values())
            assert true[0].startswith("Linked")
