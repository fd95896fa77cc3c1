"""A52: a key pasted where others read.

Somebody says `!link service KEY` in a room instead of in private.

What must hold: the key is taken for nothing, whatever it may be good for; the message is removed where the
network lets the bot do that; the speaker is told in private, and where that is not possible in the room, to take
the key back and make another.  Neither key nor message is ever written down: not in the database or its
write-ahead log, not in the queue of a network that delivers again, not in the log or the audit, and no answer
repeats it.

What remains: others have read it, so it is not theirs alone any more, whatever the bot does.  A key that is said
without the bot's command, or behind a word that is none, is not known as one.
"""

import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from attacks.helpers import ends, stored
from by_key import keyed
from omnibot import dispatcher
from omnibot.adapter import Capabilities
from omnibot.demo.provider import DemoProvider
from omnibot.dispatcher import Dispatcher
from omnibot.identity import Guest, Identity
from omnibot.message import Channel
from omnibot.testing.bench import ADA, GRACE, Bench, Plan
from omnibot.testing.fakes import POOR, RICH, FakeAdapter

ROTATE = "rotate it"


@pytest.fixture
def plan(tmp_path: Path, provider: DemoProvider) -> Plan:
    return keyed(Plan(tmp_path, provider=provider), provider)


@pytest.fixture
def key(provider: DemoProvider) -> str:
    return provider.key_for("ada")


@pytest.fixture
def room(bench: Bench) -> Channel:
    return bench.network.room("ops", ADA, GRACE)


def unheeded(patch: pytest.MonkeyPatch) -> None:
    """Take no line for one that holds a secret."""
    patch.setattr(dispatcher, "holds_secret", lambda _: False)


async def traces(bench: Bench, key: str) -> list[str]:
    """Return the files of the data directory that *key* is in; the write-ahead log is one of them."""
    await bench.core.audit.flush()
    files = [one for one in (bench.plan.directory / "data").rglob("*") if one.is_file()]
    assert any(one.name.endswith("-wal") for one in files)
    return [one.name for one in files if key.encode() in one.read_bytes()]


@pytest.mark.attack("A52", sabotage=unheeded)
@pytest.mark.parametrize(
    "text", ["!link keys {}", "!LINK keys@default {}", "! link  keys\t{}", "!link keys --by key {}"]
)
async def test_it_is_not_taken_and_its_speaker_is_told(
    bench: Bench, provider: DemoProvider, room: Channel, key: str, text: str
) -> None:
    """Good as the key is: no flow, no account, no call; the message goes, and in the room nothing is said."""
    await bench.say(text.format(key), ADA, room)

    assert [] == provider.requests
    assert [] == await stored(bench)
    assert [] == await ends(bench)
    assert [text.format(key)] == [one.text for one in bench.network.retracted]
    assert ROTATE in bench.network.private_texts(ADA)[0]
    assert "I have removed your message from" in bench.network.private_texts(ADA)[0]
    assert [] == bench.network.texts(room)


@pytest.mark.attack("A52", sabotage=unheeded)
async def test_where_it_cannot_be_removed_that_is_said_too(plan: Plan, provider: DemoProvider, key: str) -> None:
    """A network of lines: told in private where it stands, and in the room that it has been seen."""
    irc = FakeAdapter("irc", capabilities=POOR)
    ada = Identity("irc", "ada", "", "ada")
    async with Bench.open(replace(plan, networks=(irc,))) as bench:
        room = irc.room("ops", ada)
        await bench.say(f"!link keys {key}", ada, room)
        said = " ".join(irc.private_texts(ada))
        public = " ".join(irc.texts(room))

    assert [] == provider.requests
    assert "Delete it in" in said.replace("\n", " ")
    assert "rotate it" in said.replace("\n", " ")
    assert "Rotate that one: it has been seen." in public.replace("\n", " ")
    assert key not in said + public


@pytest.mark.attack("A52", sabotage=unheeded)
async def test_a_guest_is_told_in_the_room(bench: Bench, provider: DemoProvider, room: Channel, key: str) -> None:
    """There is no other way to them; the message goes all the same."""
    await bench.say(f"!link keys {key}", Guest("fake", "bob"), room)

    assert ["Rotate that one: it has been seen."] == [
        one.reply.text.partition("them. ")[2] for one in bench.network.said
    ]
    assert 1 == len(bench.network.retracted)
    assert [] == provider.requests


@pytest.mark.attack("A52", sabotage=unheeded)
async def test_with_closed_direct_messages_the_words_wait(bench: Bench, room: Channel, key: str) -> None:
    """The key goes, and its owner hears why when they next speak in private."""
    bench.network.close_dms(ADA)
    await bench.say(f"!link keys {key}", ADA, room)
    bench.network.open_dms(ADA)
    await bench.say("!ping")

    assert 1 == len(bench.network.retracted)
    assert [text for text in bench.network.private_texts(ADA) if ROTATE in text]


@pytest.mark.attack("A52", sabotage=unheeded)
async def test_it_is_known_in_every_spelling(bench: Bench, room: Channel, key: str) -> None:
    """Addressed to the bot without a prefix, or in a line that does not fit otherwise."""
    await bench.network.hear(f"link keys {key}", ADA, room, addressed=True)
    await bench.say(f"!link keys --by nonsense {key}", ADA, room)
    await bench.settle()

    assert 2 == len(bench.network.retracted)
    assert 2 == len([text for text in bench.network.private_texts(ADA) if ROTATE in text])
    assert key not in "\n".join(bench.network.texts())


def written_down_first(patch: pytest.MonkeyPatch) -> None:
    """Keep what a network hands over, whatever it is."""
    patch.setattr(Dispatcher, "_exposes", lambda *_: False)


@pytest.mark.attack("A52", sabotage=written_down_first)
async def test_a_network_that_delivers_again_does_not_have_it_written_down(
    bench: Bench, room: Channel, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other messages of the same batch are, and so is the position; the speaker hears of it once."""
    accepted: list[str] = []
    accept = bench.core.intake.accept

    async def keep(network: str, messages: list[object], position: str) -> object:
        accepted.extend(one.text for one in messages)  # type: ignore[attr-defined]
        return await accept(network, messages, position)  # type: ignore[arg-type]

    monkeypatch.setattr(bench.core.intake, "accept", keep)
    await bench.say("!ping", GRACE)
    heard = await bench.network.hear("!ping", ADA, room)
    batch = [
        replace(heard, id="e1", text="!ping"),
        replace(heard, id="e2", text=f"!link keys {key}"),
        replace(heard, id="e3", text="!help"),
    ]
    await bench.network.redeliver(*batch, position="p1")
    await bench.network.redeliver(*batch, position="p1")
    await bench.settle()
    position = await bench.core.intake.position("fake")

    assert ["!ping", "!help"] * 2 == accepted
    assert "p1" == position
    assert ["e2"] == [one.id for one in bench.network.retracted]
    assert 1 == len([text for text in bench.network.private_texts(ADA) if ROTATE in text])
    assert [] == await bench.rows("SELECT * FROM waiting")


def stored_first(patch: pytest.MonkeyPatch) -> None:
    """Write what was said in the audit, as a bot that keeps a record of everything would."""
    exposed = Dispatcher._exposed

    async def record(self: Dispatcher, message: object, *more: object) -> None:
        self._services.audit.record("", "", "refused", text=message.text)  # type: ignore[attr-defined]
        await exposed(self, message, *more)  # type: ignore[arg-type]

    patch.setattr(Dispatcher, "_exposed", record)


@pytest.mark.attack("A52", sabotage=stored_first)
async def test_no_byte_of_it_is_on_the_disk_in_a_log_or_in_chat(
    bench: Bench, room: Channel, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Database, write-ahead log, audit, log at its most talkative, and what was answered to whomever."""
    caplog.set_level(logging.DEBUG)
    await bench.say(f"!link keys {key}", ADA, room)
    heard = await bench.network.hear(f"!link keys {key}", GRACE, room, position="p1")
    await bench.settle()
    audit = json.dumps(await bench.rows("SELECT * FROM audit"), default=str)

    assert key in heard.text
    assert [] == await traces(bench, key)
    assert key not in audit
    assert key not in caplog.text
    assert key not in "\n".join(one.text for one in bench.network.said)


@pytest.mark.attack("A52")
async def test_in_private_nothing_of_that_happens(bench: Bench, key: str) -> None:
    """Said to the bot alone, it is what it is meant to be; the key is on the disk sealed and in no other way."""
    said = await bench.say(f"!link keys {key}")

    assert said[0].startswith("Linked")
    assert [] == bench.network.retracted
    assert [] == await traces(bench, key)


@pytest.fixture
async def mute(plan: Plan) -> AsyncIterator[Bench]:
    """A bot on a network that can do everything but remove messages."""
    capable = {name: getattr(RICH, name) for name in Capabilities.__dataclass_fields__} | {"retract": False}
    async with Bench.open(replace(plan, networks=(FakeAdapter(capabilities=Capabilities(**capable)),))) as bench:
        yield bench


@pytest.mark.attack("A52", sabotage=unheeded)
async def test_its_owner_is_asked_to_delete_it_where_only_they_can(mute: Bench, key: str) -> None:
    """And everybody in the room learns that such things do not belong there."""
    room = mute.network.room("ops", ADA, GRACE)
    await mute.say(f"!link keys {key}", ADA, room)

    assert [text for text in mute.network.private_texts(ADA) if "Delete it in" in text]
    assert 1 == len(mute.network.texts(room))
