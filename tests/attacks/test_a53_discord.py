"""A53 on Discord: who sees a key that is typed.

What must hold: a key is asked for by a form alone, which leaves no message anywhere; no slash command has an option
for one; said in a channel it is not taken, is removed, and its owner is told to make another.
"""

import json

import pytest

from adapters.discord.interactions import Interactions
from attacks.helpers import ends, stored
from by_key import keyed
from journeys.discord_bots import bot_on, works
from omnibot.demo.provider import DemoProvider
from omnibot.testing.bench import Bench, Plan
from servers.discord.acts import Act
from servers.discord.people import DiscordPeople, Person
from servers.discord.server import DiscordServer
from servers.discord.wire import Json, Permission


@pytest.fixture
def plan(plan: Plan, provider: DemoProvider) -> Plan:
    return keyed(plan, provider)


@pytest.fixture
def key(provider: DemoProvider) -> str:
    return provider.key_for("ada")


@pytest.fixture
def people(discord_people: DiscordPeople) -> list[Person]:
    return discord_people.come("ada", "grace")


def everything(server: DiscordServer) -> str:
    """Return all that anybody was ever shown, and all that there is in Discord's history."""
    every = [one for channel in server.world.channels.values() for one in channel.messages.values()]
    return json.dumps([one.wire() for one in every]) + repr(server.world.shown)


def as_text(patch: pytest.MonkeyPatch) -> None:
    """Repeat what was typed into a form, as a receipt."""
    form = Interactions._form

    def repeated(self: Interactions, interaction: object, data: object) -> object:
        message = form(self, interaction, data)  # type: ignore[arg-type]  # it passes on what it is given
        if message is not None:
            self._spawn(self._say(interaction, message.text))  # type: ignore[arg-type]  # the same
        return message

    patch.setattr(Interactions, "_form", repeated)


async def pressed(ada: Person, how: str) -> Act:
    """Let *ada* ask for a link in the channel, or in private, and press the button for the form."""
    if how == "in private":
        ada.tell("!link keys")
        asked = await ada.hear(lambda one: "Type your API key" in one.labels)
    else:
        asked = await ada.slash("link", service="keys").answer()
        assert asked.ephemeral
    return ada.click(asked, "Type your API key")


@pytest.mark.attack("A53", sabotage=as_text)
@pytest.mark.parametrize("how", ["in the channel", "in private"])
async def test_by_a_form_it_is_in_no_history(
    bench: Bench, discord_server: DiscordServer, people: list[Person], key: str, how: str
) -> None:
    """It reaches the bot, is kept sealed, and nobody has it on their screen, nor Discord among its messages."""
    ada, grace = people
    async with bot_on(bench, discord_server):
        act = await pressed(ada, how)
        form = await act.modal()
        sent = act.submit(key)
        answer = await sent.answer()
        await bench.settle()

        assert ["API key"] == [one.label for one in form.fields]
        assert "Linked" in answer.text
        assert ["active"] == await stored(bench)
        assert answer.ephemeral is (how == "in the channel")
        assert key not in everything(discord_server)
        assert not grace.was_shown("Linked")


async def test_no_slash_command_asks_for_one(bench: Bench, discord_server: DiscordServer, people: list[Person]) -> None:
    """Discord keeps what is typed into options, and shows it to its author's clients."""
    ada, _ = people
    async with bot_on(bench, discord_server):
        offered: list[Json] = discord_server.asked("PUT /applications/*/commands")[-1].json
        secrets = [one for one in bench.core.tools("discord").commands() if one.secret]
        options = {one["name"]: {each["name"] for each in one.get("options", ())} for one in offered}

        assert [] != [one for one in secrets if one.name in options]
        assert [] == [one.name for one in secrets if one.secret in options.get(one.name, ())]
        with pytest.raises(AssertionError):
            ada.slash("link", service="keys", key="a key")


def taken_anywhere(patch: pytest.MonkeyPatch) -> None:
    """Take a secret wherever it is said."""
    patch.setattr("omnibot.dispatcher.holds_secret", lambda _: False)


@pytest.mark.attack("A53", sabotage=taken_anywhere)
@pytest.mark.parametrize("may", [True, False], ids=["with the right to remove", "without"])
@pytest.mark.parametrize("mention", [False, True], ids=["prefix", "mention"])
async def test_said_in_a_channel(
    bench: Bench, discord_server: DiscordServer, people: list[Person], key: str, may: bool, mention: bool
) -> None:
    """It is not tried, is gone where the bot may remove it, and its owner is told what to do."""
    ada, grace = people
    if may:
        discord_server.general.allowed[discord_server.bot.id] = Permission.MANAGE_MESSAGES
    async with bot_on(bench, discord_server):
        told = f"link keys {key}"
        said = ada.ask(told) if mention else ada.say(f"!{told}")
        await works(bench, ada)
        await works(bench, grace)

        assert said.deleted is may
        assert [] == bench.provider.requests
        assert [] == await ends(bench)
        assert [] != [one for one in ada.sees(ada.dm) if "rotate it" in one.text]
        assert may or [one for one in grace.sees(discord_server.general) if "Rotate that one" in one.text]
        assert not ada.was_shown(key)
        assert not grace.was_shown(key)
