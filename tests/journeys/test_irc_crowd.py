"""Fifty people who act at once on a real IRC network, each as themselves, by a bot that must not talk too fast."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from by_key import keyed
from journeys.irc_bots import NICK, bot_on, logging_in, over_tls
from omnibot import LinkedContext, Skill
from omnibot.demo.provider import DemoProvider
from omnibot.testing.bench import Bench, Plan
from servers.irc.client import People, Person
from servers.irc.line import Line
from servers.irc.server import Irc

PEOPLE = 50
IN_CHANNEL = 30
"""How many of them speak in the channel; the others share none with the bot, and speak to it in private."""

PACE = {"lines": 10, "seconds": 0.02, "bytes": 0}
LIMIT = {"threshold": "130", "commandrate": "75000"}
"""What the server bears: 130 lines ahead of 75 a second.  It throws the bot out unless that keeps to its pace."""

SLOW = 0.2
"""Seconds that everybody's first command takes before it writes; the second would overtake it."""

WORDS = ("first", "second")


def desk() -> Skill:
    """Return a skill that writes as whoever speaks, and answers where it was asked."""
    skill = Skill("desk")

    @skill.linked("keys", effect="change", answer="channel")
    async def sign(ctx: LinkedContext, text: str) -> str:
        """Write a note."""
        if text == WORDS[0]:
            await asyncio.sleep(SLOW)
        note = await ctx.api.post("/api/notes", {"text": text})
        return f"{ctx.account.login} signed {note['text']} as {note['id']}"

    return skill


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A bot that is on no IRC network yet."""
    async with DemoProvider() as provider:
        plan = keyed(Plan(tmp_path, ("accounts", desk()), provider=provider), provider)
        async with Bench.open(plan) as bench:
            yield bench


async def test_fifty_linked_people_at_once(bench: Bench, irc: Irc, people: People) -> None:
    """Each gets their own answers, in their order and where they asked, and acts with their own token.

    By then each is called as another's account is: whoever goes by nicks mixes them all up.
    """
    irc.limit(**LIMIT)
    own, *accounts = await asyncio.to_thread(irc.register_all, NICK, *(f"p{number:02}" for number in range(PEOPLE)))
    async with bot_on(bench, over_tls(irc, pace=PACE, **logging_in(own))) as bot:
        crowd = await people.come(irc.tls_port, *accounts, tls=irc.trust())
        await bot.is_in("#ops")
        public, private = crowd[:IN_CHANNEL], crowd[IN_CHANNEL:]
        await asyncio.gather(*(person.join("#ops") for person in public))
        keys = {account.name: bench.provider.key_for(account.name) for account in accounts}
        await asyncio.gather(*(link_by_key(person, keys[person.nick]) for person in crowd))
        await swap_nicks(crowd)
        before = {person: len(person.lines) for person in crowd}
        bench.provider.calls.clear()
        for person in crowd:
            where = "#ops" if person in public else NICK
            await person.send(*(f"PRIVMSG {where} :!desk sign {word}" for word in WORDS))
        for person, account in zip(crowd, accounts, strict=True):
            await person.hear(f"{account.name} signed second", of=NICK, within=60)
        await bench.settle()
        await asyncio.gather(*map(up_to_now, crowd))

    told = {person: answers(person.lines[before[person] :]) for person in crowd}
    due = {
        person: [f"{account.name} signed {word} as {number}" for number, word in enumerate(WORDS, 1)]
        for person, account in zip(crowd, accounts, strict=True)
    }
    for person in private:
        assert [(person.nick, text) for text in due[person]] == told[person]
    for person in public:
        mine = [("#ops", f"{person.nick}: {text}") for text in due[person]]
        assert mine == [one for one in told[public[0]] if one in mine]
        assert told[public[0]] == told[person]
    assert len(WORDS) * IN_CHANNEL == len(told[public[0]])
    assert {account.name: list(WORDS) for account in accounts} == {
        account.name: bench.provider.notes(account.name) for account in accounts
    }
    assert sorted([*keys.values()] * len(WORDS)) == sorted(call.token for call in bench.provider.calls)
    assert [] == bot.pauses, "it was never thrown out"


async def link_by_key(person: Person, key: str) -> None:
    """Let *person* link the service's account that *key* is for."""
    await person.say(NICK, f"!link keys {key}")
    await person.hear(f"Linked Demo keys as \x02{person.nick}\x02", of=NICK, within=60)


async def swap_nicks(people: list[Person]) -> None:
    """Let everybody take the nick of the one before."""
    names = [person.nick for person in people]
    await take_nick(people[0], "spare")
    for person, nick in zip(people[1:], names, strict=False):
        await take_nick(person, nick)
    await take_nick(people[0], names[-1])


async def take_nick(person: Person, nick: str) -> None:
    """Let *person* be called *nick*."""
    await person.send(f"NICK {nick}")
    await person.until(lambda line: line.command == "NICK" and line.nick == person.nick)
    person.nick = nick


async def up_to_now(person: Person) -> None:
    """Return once *person* has all that the server has for them."""
    await person.send("PING now")
    await person.until(lambda line: line.command == "PONG" and line.text == "now")


def answers(lines: list[Line]) -> list[tuple[str, str]]:
    """Return what the bot said in *lines*, each with where it said it."""
    return [(line.params[0], line.text) for line in lines if line.command == "PRIVMSG" and line.nick == NICK]
