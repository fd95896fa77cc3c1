"""A person sees all that is known of them, and no secret; it fits one reply."""

import json
from dataclasses import replace
from typing import Any

import pytest

from linking.steps import all_accounts, authorised, write
from omnibot import LinkedContext, Progress, Skill
from omnibot.demo.browser import Browser
from omnibot.follower import FollowContext
from omnibot.linking import exporting
from omnibot.linking.exporting import LONGEST, fitted
from omnibot.message import Reply
from omnibot.testing.bench import ADA, GRACE, Bench, Plan


async def export(bench: Bench) -> dict[str, Any]:
    """Return what Ada is told of herself."""
    (said,) = await bench.say("!export me")
    return read(said)


def read(said: str) -> dict[str, Any]:
    """Return the JSON in what was *said*, which is one code block and nothing else."""
    begins, ends = "```json\n", "\n```"

    assert said.strip().startswith(begins)
    assert said.strip().endswith(ends)
    found: dict[str, Any] = json.loads(said.strip().removeprefix(begins).removesuffix(ends))
    return found


async def test_what_is_known(plan: Plan) -> None:
    """Identities, accounts, choices, follows, links under way, what waits to be told, and the record."""
    watch = Skill("watch")

    @watch.follower(every=600)
    async def look(ctx: FollowContext) -> Progress:
        return Progress("it goes on")

    @watch.linked("demo")
    async def begin(ctx: LinkedContext) -> None:
        """Watch it."""
        await ctx.follow(look, "the notes")

    async with Bench.open(replace(plan, skills=(*plan.skills, watch))) as bench, Browser() as browser:
        room = bench.network.room("ops", ADA, GRACE)
        await bench.link()
        await bench.say("!notes", channel=room)
        await bench.say("!watch begin")
        await bench.core.defaults.choose((await all_accounts(bench))[0].person, room, "demo", "ada")
        await authorised(bench, browser, login="ada")
        bench.network.close_dms(ADA)
        await bench.core.delivery.to_identity(ADA, Reply("You may read this later."))
        bench.network.open_dms(ADA)
        said = await bench.say("!export me", channel=room)  # in private she would be told what waits, first

    found = read(said[0])
    account = found["accounts"][0]
    assert [{"network": "fake", "subject": "u-1", "name": "Ada"}] == found["identities"]
    assert ("demo", "default", "ada", "u-ada", "ada", "active") == tuple(
        account[name] for name in ("provider", "instance", "alias", "id", "login", "status")
    )
    assert (["notes:read"], ["fake:u-1"], "fake:u-1") == (account["scopes"], account["reach"], account["linked_by"])
    assert account["linked"].endswith("Z")
    assert [("demo@default", "redirect", "pending")] == [
        (one["service"], one["way"], one["state"]) for one in found["links_under_way"]
    ]
    assert [{"network": "fake", "channel": room.id, "provider": "demo", "target": "ada"}] == found["defaults"]
    assert [("the notes", "demo@ada")] == [(one["title"], one["account"]) for one in found["follows"]]
    assert 1 == found["notices"]
    assert {"command", "link.confirmed", "link.begun"} <= {one["event"] for one in found["audit"]}
    assert "left_out" not in found


async def test_no_secret_is_in_it(bench: Bench, browser: Browser) -> None:
    """No token, no hash, no key, and nothing of anybody else."""
    await bench.link()
    await bench.link(GRACE, "grace")
    code = await authorised(bench, browser)
    (said,) = await bench.say("!export me")
    rows = [row for table in ("people", "accounts", "flows") for row in await bench.rows(f"SELECT * FROM {table}")]  # noqa: S608
    hidden = [value.hex() for row in rows for value in row.values() if isinstance(value, bytes)]
    people = [row["id"] for row in await bench.rows("SELECT id FROM people")]
    pseudonyms = [row["pseudonym"] for row in await bench.rows("SELECT pseudonym FROM people")]

    assert not [one for one in (*hidden, *people, *pseudonyms, code, "demo-access", "demo-refresh") if str(one) in said]
    assert "grace" not in said
    assert "u-2" not in said


async def test_a_stranger_is_told_what_is_known_of_one(bench: Bench) -> None:
    """That is nothing but the question; and asking makes nobody known."""
    found = await export(bench)

    ada = {"network": "fake", "subject": "u-1", "name": "Ada"}
    assert {"identities": [ada], "hosts_asked_for": [], "notices": 0, "joins": []} == found
    assert [] == await bench.rows("SELECT * FROM people")


async def test_the_record_is_cut_first_and_says_so(bench: Bench) -> None:
    """Thirty of it at most; how much more there is stands beside."""
    await bench.link()
    for number in range(40):
        bench.core.audit.record((await all_accounts(bench))[0].person, "fake", f"command.{number}")
    found = await export(bench)

    assert 30 == len(found["audit"])
    assert "command.39" == found["audit"][0]["event"]
    assert found["left_out"]["audit"] >= 12


async def test_names_stay_names(bench: Bench) -> None:
    """A login with backticks ends no code block, and a letter without ink turns nothing around (A17)."""
    await bench.link()
    await write(bench, replace((await all_accounts(bench))[0], login="```\n# hi `x`", name="\u202eada\u0007 \u00e4"))
    (said,) = await bench.say("!export me")
    account = (await export(bench))["accounts"][0]

    assert ("```\n# hi `x`", "\u202eada\u0007 \u00e4") == (account["login"], account["name"])
    assert 2 == said.count("```")
    assert "\u202e" not in said
    assert "\u00e4" in said


@pytest.mark.parametrize("kind", ["audit", "follows", "accounts", "identities"])
def test_it_always_fits(kind: str) -> None:
    """The record goes first, what a person would miss most goes last; the count of what is left out is right."""
    many = [{"n": number, "text": "x" * 400} for number in range(300)]
    known = {"identities": [{"n": 1}], "accounts": [{"n": 2}], "follows": [], "audit": [{"n": 3}], kind: many}
    text = fitted(known, {"audit": 5})
    found = json.loads(text)

    assert len(text) <= LONGEST
    assert len(text) > LONGEST - 1000
    assert 300 == len(found[kind]) + found["left_out"][kind] - (5 if kind == "audit" else 0)
    if kind != "audit":
        assert ([], 6) == (found["audit"], found["left_out"]["audit"])


def test_it_fits_after_few_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much there is: each try holds up everybody else."""
    tried, dump = list[int](), exporting._dump

    def counting(*what: Any) -> str:
        tried.append(1)
        return dump(*what)

    monkeypatch.setattr(exporting, "_dump", counting)
    fitted({name: [{"n": number, "text": "x" * 1200} for number in range(300)] for name in exporting._DROPPED})

    assert len(tried) < 80


def test_one_thing_that_is_too_long_is_left_out() -> None:
    """A service may grant scopes without end."""
    found = json.loads(fitted({"accounts": [{"scopes": ["s" * 200] * 500}], "audit": []}))

    assert {"accounts": [], "audit": [], "left_out": {"accounts": 1}} == found
