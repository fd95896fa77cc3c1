"""What every adapter passes.

An adapter's own tests subclass `AdapterConformance` and give it a fixture ``harness``: the
adapter, and its network as a test moves it.  The people there are called ``ada`` and ``bob``.

    class TestIrc(AdapterConformance):
        @pytest.fixture
        async def harness(self) -> AsyncIterator[Harness]:
            async with IrcHarness() as harness:
                yield harness

A test that a network cannot take part in is skipped for a reason that stands in the
harness's `Facts`: what the network is like, not what the adapter says it can do.
"""

# ruff: noqa: SIM300  # asserts are written expected == actual

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar, Literal

import pytest

from omnibot.adapter import Adapter
from omnibot.errors import NoPrivateWay, NotDelivered
from omnibot.identity import Identity
from omnibot.markup import fmt
from omnibot.message import (
    STALE_AFTER,
    Channel,
    File,
    Form,
    Link,
    Message,
    Origin,
    Private,
    Reply,
    Sent,
    dump,
    load_message,
)

PATIENCE = 10.0
"""Seconds that anything may take before a test gives up; nothing waits longer than it must."""

EVIL = (
    "before\r\nQUIT :smuggled\nPRIVMSG #smuggled :hi\r\x00 \x01ACTION smuggled\x01 "
    "\x1b]0;smuggled\x07\x9d0;smuggled\x9c\u202e\u2028QUIT :smuggled after"
)
"""Data that tries to be more than data on any network; whatever comes of it names itself ``smuggled``."""


PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000b49444154789c6360000200000500017a5eab3f0000000049454e44ae426082"
)
"""A picture of one transparent dot."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is so about a network, whatever its adapter says."""

    rooms: bool = True
    """Whether there are channels with several readers; ada and bob are in one."""

    others: bool = True
    """Whether there is a bob besides ada."""

    raw_markdown: bool = False
    """Whether it takes Markdown as it stands, so that ``**`` on the wire is shown as bold."""

    pictures: bool = False
    """Whether it shows pictures."""

    renames: bool = False
    """Whether people can change what they are called: `Harness.rename`."""

    leaves: bool = False
    """Whether people can leave the room: `Harness.leave`."""

    closes: bool = False
    """Whether people can close the private way: `Harness.close_private`."""

    cuts: bool = False
    """Whether the harness can cut the network off: `Harness.cut`."""

    restores: bool = False
    """Whether it comes back then: `Harness.restore`."""

    presses: bool = False
    """Whether choices are buttons, which people can press: `Harness.press`."""

    fills: bool = False
    """Whether people can fill in forms: `Harness.fill`."""

    opens: bool = False
    """Whether people can open a private place in the room: `Harness.open`."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One message of the bot's, as a person sees it by now: an edit shows, formatting does not."""

    text: str
    buttons: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    """Addresses behind buttons."""

    files: tuple[tuple[str, bytes], ...] = ()
    """Name and content of each picture and each other file."""


class Harness:
    """An adapter that is not running yet, and its network; ada and bob are there.

    What the subclass's `Facts` deny may be left as it stands here.
    """

    adapter: Adapter
    """The same one all the time."""

    network: str
    """The network's name, as it was given to the adapter."""

    async def say(self, person: str, text: str, *, room: bool = False) -> None:
        """Let *person* say *text* to the bot, in private or in the room."""
        raise NotImplementedError

    async def saw(self, person: str, *, room: bool = False) -> Sequence[Seen]:
        """Return what *person* has seen so far of the bot, in order, in private or in the room.

        What a room shows to one person alone is private.
        """
        raise NotImplementedError

    async def commands(self) -> Sequence[str]:
        """Return what the network took from the bot besides things said, as it came: commands, escapes."""
        raise NotImplementedError

    async def rename(self, person: str, name: str) -> None:
        """Let *person* be called *name*."""
        raise NotImplementedError

    async def leave(self, person: str) -> None:
        """Let *person* leave the room."""
        raise NotImplementedError

    async def close_private(self, person: str) -> None:
        """Take away every way to reach *person* alone."""
        raise NotImplementedError

    async def cut(self) -> None:
        """Cut the network off."""
        raise NotImplementedError

    async def restore(self) -> None:
        """Bring the network back."""
        raise NotImplementedError

    async def press(self, person: str, label: str, *, room: bool = False) -> None:
        """Let *person* press the last button there that says *label*, whomever it is for."""
        raise NotImplementedError

    async def fill(self, person: str, label: str, value: str) -> None:
        """Let *person* open, in private, the form of the last button that says *label*, and send *value* by it."""
        raise NotImplementedError

    async def open(self, person: str) -> None:
        """Let *person* press, in the room, the last button that opens a private place, whomever it is for."""
        raise NotImplementedError


class Trial:
    """An adapter that runs as under its supervisor, and what it told."""

    def __init__(self, harness: Harness) -> None:
        """Try the adapter of *harness*."""
        self.harness = harness
        self.adapter = harness.adapter
        self.realms: list[str] = []
        self.heard: list[Message] = []
        self.failures: list[Exception] = []
        self.task = asyncio.create_task(self._supervise())
        self._keys = itertools.count(1)
        self._met: dict[tuple[str, bool], Message] = {}

    async def _supervise(self) -> None:
        while True:
            try:
                return await self.adapter.run(self._deliver, self._ready)
            except Exception as error:  # noqa: BLE001  # the contract lets a network fail in any way
                self.failures.append(error)
                await asyncio.sleep(0.05)

    async def _deliver(self, messages: Sequence[Message], position: str | None = None) -> None:
        self.heard += messages

    async def _ready(self, realm: str) -> None:
        self.realms.append(realm)

    async def until[T](self, probe: Callable[[], Awaitable[T]], what: str) -> T:
        """Return what *probe* gives, once that is true; fail if *what* never comes."""
        give_up = time.monotonic() + PATIENCE
        while not (found := await probe()):
            if time.monotonic() > give_up:
                pytest.fail(f"{what}: not within {PATIENCE:.0f} s; run() raised {self.failures}")
            await asyncio.sleep(0.01)
        return found

    async def connected(self) -> None:
        """Wait until the adapter is ready."""

        async def probe() -> bool:
            return bool(self.realms)

        await self.until(probe, "ready was called")

    async def hear(self, person: str, text: str, *, room: bool = False) -> Message:
        """Let *person* say *text*; return the message it became."""
        start = len(self.heard)
        await self.harness.say(person, text, room=room)

        async def probe() -> Message | None:
            return next((one for one in self.heard[start:] if text in one.text), None)

        heard = await self.until(probe, f"{text!r} was delivered")
        assert heard is not None
        return heard

    async def comes(self, is_it: Callable[[Message], bool], what: str) -> Message:
        """Wait until something was delivered of which *is_it* holds; return the first such message."""

        async def probe() -> Message | None:
            return next(filter(is_it, self.heard), None)

        heard = await self.until(probe, what)
        assert heard is not None
        return heard

    async def heard_as(self, text: str) -> Message:
        """Wait until something was delivered that says *text* and nothing else; return it."""
        return await self.comes(lambda one: one.text == text, f"{text!r} was delivered")

    async def meet(self, person: str, *, room: bool = False) -> Message:
        """Return the first thing *person* said there."""
        if (person, room) not in self._met:
            self._met[person, room] = await self.hear(person, f"{person} says hello", room=room)
        return self._met[person, room]

    async def identity(self, person: str) -> Identity:
        """Return who *person* is, as the network vouches."""
        speaker = (await self.meet(person)).speaker
        assert isinstance(speaker, Identity), f"{person} is a guest"
        return speaker

    async def private(self, person: str) -> Private:
        """Return the target that is *person* alone, near what they said."""
        return Private(await self.identity(person), await self.meet(person))

    async def room(self) -> Channel:
        """Return the room that ada and bob are in."""
        return (await self.meet("ada", room=True)).channel

    async def say(self, to: Channel | Private, reply: Reply | str) -> Sent:
        """Send *reply* under a key of its own."""
        reply = reply if isinstance(reply, Reply) else Reply(reply)
        return await self.adapter.send(to, reply, self.key())

    def key(self) -> str:
        """Return a key not used before."""
        return f"key-{next(self._keys)}"

    async def sees(self, person: str, text: str, *, room: bool = False) -> list[Seen]:
        """Wait until *person* sees *text*; return all that they saw."""

        async def probe() -> list[Seen]:
            seen = list(await self.harness.saw(person, room=room))
            return seen if any(text in one.text for one in seen) else []

        return await self.until(probe, f"{person} saw {text!r}")

    async def shown(self, person: str, to: Channel | Private) -> list[Seen]:
        """Say one thing more; return what *person* saw by the time they see it, without it."""
        fence = f"fence {self.key()} ends"
        await self.say(to, fence)
        seen = await self.sees(person, fence, room=isinstance(to, Channel) and not to.private)
        return [one for one in seen if fence not in one.text]


def needs[T: Callable[..., object]](fact: str) -> Callable[[T], T]:
    """Let a test stand only for networks of which that field of `Facts` is true."""

    def mark(test: T) -> T:
        _NEEDS[test.__name__] = fact
        return test

    return mark


_NEEDS: dict[str, str] = {}


class AdapterConformance:
    """The adapter contract as tests; a subclass gives the fixture ``harness`` and the network's ``facts``.

    That fixture yields a `Harness` whose network is up and whose adapter is not running yet.
    What the facts rule out is no test of the subclass, so that nothing is ever skipped.
    """

    facts: ClassVar[Facts] = Facts()

    def __init_subclass__(cls) -> None:
        """Take out the tests that the network's facts rule out."""
        super().__init_subclass__()
        for name, fact in _NEEDS.items():
            if not getattr(cls.facts, fact):
                setattr(cls, name, None)

    @pytest.fixture
    async def trial(self, harness: Harness) -> AsyncIterator[Trial]:
        """Yield the adapter running, once it is ready."""
        trial = Trial(harness)
        try:
            await trial.connected()
            yield trial
        finally:
            trial.task.cancel()
            with suppress(asyncio.CancelledError):
                await trial.task

    # -- running -----------------------------------------------------------------------

    async def test_ready_names_the_realm(self, trial: Trial) -> None:
        """Once connected, the adapter says which network answers."""
        assert "" != trial.realms[0].strip()

    async def test_cancelling_ends_run_promptly(self, trial: Trial) -> None:
        """Shutting down waits for no network."""
        trial.task.cancel()
        done, _ = await asyncio.wait([trial.task], timeout=2)

        assert {trial.task} == done
        assert trial.task.cancelled()

    # -- hearing -----------------------------------------------------------------------

    async def test_a_private_message_is_heard_as_it_was_said(self, trial: Trial) -> None:
        """Network, text, place, time and origin are right."""
        before = time.time()
        message = await trial.hear("ada", "!ping once")

        assert trial.harness.network == message.network
        assert trial.harness.network == message.channel.network
        assert "!ping once" == message.text
        assert message.channel.private
        assert Origin.PERSON == message.origin
        assert not message.edit
        assert before - STALE_AFTER / 2 < message.at < time.time() + STALE_AFTER / 2

    async def test_a_private_speaker_is_vouched_for(self, trial: Trial) -> None:
        """Ada is an identity of this network, and the message says how strongly."""
        message = await trial.meet("ada")
        identity = await trial.identity("ada")

        assert trial.harness.network == identity.network
        assert message.assurance is not None

    @needs("rooms")
    async def test_a_room_is_not_private(self, trial: Trial) -> None:
        """What others read as well is told apart."""
        message = await trial.hear("ada", "!ping in the room", room=True)

        assert not message.channel.private
        assert message.channel != (await trial.meet("ada")).channel

    async def test_messages_have_ids_of_their_own(self, trial: Trial) -> None:
        """The same words twice are two messages."""
        first = await trial.hear("ada", "again")
        second = await trial.hear("ada", "again")

        assert first.id != second.id
        assert "" not in {first.id, second.id}

    async def test_messages_are_heard_in_order(self, trial: Trial) -> None:
        """What one person says arrives as it was said."""
        said = [f"line {number}" for number in range(8)]
        for line in said[:-1]:
            await trial.harness.say("ada", line)
        await trial.hear("ada", said[-1])

        assert said == [message.text for message in trial.heard]

    async def test_a_message_survives_json(self, trial: Trial) -> None:
        """It may wait in the database."""
        message = await trial.meet("ada")

        assert message == load_message(dump(message))

    async def test_people_stay_who_they_are(self, trial: Trial) -> None:
        """One person is one identity, and two are two."""
        first = await trial.hear("ada", "first")
        second = await trial.hear("ada", "second")

        assert first.speaker == second.speaker
        if self.facts.others:
            assert first.speaker != (await trial.meet("bob")).speaker

    @needs("renames")
    async def test_another_name_is_nobody_else(self, trial: Trial) -> None:
        """What people are called is shown, never compared."""
        before = await trial.identity("ada")
        await trial.harness.rename("ada", "countess")
        after = (await trial.hear("ada", "it is still me")).speaker

        assert before == after
        assert before.display != after.display

    async def test_the_bot_does_not_hear_itself(self, trial: Trial) -> None:
        """What it said is not delivered as a person's words."""
        await trial.say(await trial.private("ada"), "!ping from the bot")
        if self.facts.rooms:
            await trial.say(await trial.room(), "!ping from the bot")
        await trial.hear("ada", "the last word")

        assert [] == [one for one in trial.heard if "from the bot" in one.text and one.origin is Origin.PERSON]

    # -- saying ------------------------------------------------------------------------

    async def test_a_channel_sees_what_is_said_in_it(self, trial: Trial) -> None:
        """An answer appears where the question was."""
        await trial.say((await trial.meet("ada")).channel, "an answer")
        await trial.sees("ada", "an answer")

        if self.facts.rooms:
            await trial.say(await trial.room(), "an answer to all")
            for person in ("ada", "bob")[: 1 + self.facts.others]:
                await trial.sees(person, "an answer to all", room=True)

    async def test_what_was_sent_says_where(self, trial: Trial) -> None:
        """Its network is this one, and it can be told from anything else sent."""
        first = await trial.say(await trial.private("ada"), "one")
        second = await trial.say(await trial.private("ada"), "two")

        assert [trial.harness.network] * 2 == [first.network, second.network]
        assert first != second

    @needs("others")
    async def test_private_is_private(self, trial: Trial) -> None:
        """What is for ada is seen by ada and nobody else, even where ada spoke in a room."""
        identity, near = await trial.identity("ada"), await trial.meet("ada")
        if self.facts.rooms:
            near = await trial.meet("ada", room=True)
        await trial.say(Private(identity, near), "a secret")
        await trial.sees("ada", "a secret")

        assert not [one for one in await trial.shown("bob", await trial.private("bob")) if "secret" in one.text]
        if self.facts.rooms:
            seen = await trial.shown("bob", await trial.room())
            assert not [one for one in seen if "secret" in one.text]

    async def test_the_bot_can_speak_first(self, trial: Trial) -> None:
        """A person is reached without a message to answer."""
        await trial.say(Private(await trial.identity("ada")), "unasked")

        await trial.sees("ada", "unasked")

    @needs("closes")
    async def test_no_private_way_is_said(self, trial: Trial) -> None:
        """Where nobody can be reached alone, nothing is sent anywhere."""
        to = await trial.private("ada")
        await trial.harness.close_private("ada")
        with pytest.raises(NoPrivateWay):
            await trial.say(to, "a secret")

        assert not [one for one in await trial.harness.saw("ada") if "secret" in one.text]
        if self.facts.rooms:
            seen = await trial.shown("ada", await trial.room())
            assert not [one for one in seen if "secret" in one.text]

    async def test_somebody_of_another_network_is_not_reached(self, trial: Trial) -> None:
        """A name that happens to be known here as well belongs to somebody else there."""
        ada = await trial.identity("ada")
        stranger = Identity(f"not-{ada.network}", ada.subject, ada.epoch)
        with pytest.raises(NoPrivateWay):
            await trial.say(Private(stranger), "a secret")

        assert not [one for one in await trial.shown("ada", Private(ada)) if "secret" in one.text]

    async def test_one_key_says_one_thing(self, trial: Trial) -> None:
        """A second call, after the first or during it, says nothing again and tells the same."""
        to, key = await trial.private("ada"), trial.key()
        sent = await asyncio.gather(*(trial.adapter.send(to, Reply("only once"), key) for _ in range(2)))
        sent.append(await trial.adapter.send(to, Reply("only once"), key))
        seen = await trial.shown("ada", to)

        assert ["only once"] == [one.text for one in seen if "only once" in one.text]
        assert 1 == len(set(sent))

    @pytest.mark.parametrize("kind", ["words", "one word", "lines"])
    async def test_long_text_is_cut_and_loses_nothing(
        self, trial: Trial, kind: Literal["words", "one word", "lines"]
    ) -> None:
        """Each piece is within the limits, and together they are the whole, unless a file is."""
        limits = trial.adapter.limits
        most = min(limits.text * 5 // 2, 20_000)
        if kind == "one word":
            text = "ä" * (most // (2 if limits.unit == "bytes" else 1))
        else:
            unit = "word " if kind == "words" else "a line of several words\n"
            count = most // len(unit) if kind == "words" else limits.lines or 40
            text = "".join(f"{unit.strip()}{number}{unit[-1]}" for number in range(count)).strip()
        to = await trial.private("ada")
        await trial.say(to, text)
        seen = await trial.shown("ada", to)
        pieces = [one.text for one in seen]
        sizes = [len(piece.encode() if limits.unit == "bytes" else piece) for piece in pieces]
        files = [data.decode() for one in seen for _, data in one.files]

        assert "".join(text.split()) in ["".join(whole.split()) for whole in ("".join(pieces), *files)]
        assert max(sizes) <= limits.text

    @pytest.mark.parametrize("careless", [False, True], ids=["escaped", "as it stands"])
    async def test_data_smuggles_nothing(self, trial: Trial, careless: bool) -> None:
        """Line ends and controls in data make no command and no control; escaped, not even a line."""
        text = f"Title: {EVIL}" if careless else str(fmt("Title: {}", EVIL))
        to = await trial.private("ada")
        await trial.say(to, Reply(text, choices=(EVIL, "no"), link=Link(EVIL, "https://example.org/x")))
        if self.facts.rooms:
            await trial.say(await trial.room(), text)
        seen = await trial.shown("ada", to)
        shown = "\n".join(one.text for one in seen)

        assert [] == [one for one in await trial.harness.commands() if "smuggled" in one]
        assert [] == [sign for sign in shown if sign != "\n" and not sign.isprintable()]
        assert ("Title: before" if careless else "Title: before QUIT :smuggled") in shown

    async def test_an_edit_shows(self, trial: Trial) -> None:
        """The new words are seen: in place of the old ones with the capability, after them without."""
        to = await trial.private("ada")
        sent = await trial.say(to, "half done")
        edited = await trial.adapter.edit(sent, Reply("all done"))
        seen = await trial.sees("ada", "all done")

        assert trial.harness.network == edited.network
        assert trial.adapter.capabilities.edit is not any("half done" in one.text for one in seen)

    async def test_choices_can_be_picked(self, trial: Trial) -> None:
        """They are buttons with the capability, and numbered lines without."""
        to = await trial.private("ada")
        await trial.say(to, Reply("Which one?", choices=("left", "right"), question="q1"))
        seen = await trial.shown("ada", to)
        lines = [line for one in seen for line in one.text.splitlines()]

        if trial.adapter.capabilities.buttons:
            assert ("left", "right") in [one.buttons for one in seen]
        else:
            for number, choice in enumerate(("left", "right"), 1):
                assert any(str(number) in line and choice in line for line in lines)

    @needs("presses")
    async def test_a_pick_says_which_question_it_answers(self, trial: Trial) -> None:
        """It comes from whoever pressed, where they did, with the number of the choice; so does one in the room."""
        near, to = await trial.meet("ada"), await trial.private("ada")
        await trial.say(to, Reply("Which one?", choices=("left", "right"), question="q1", answers=near))
        await trial.sees("ada", "Which one?")
        await trial.harness.press("ada", "right")
        pick = await trial.comes(lambda one: one.picks == "q1", "the pick was delivered")

        assert (await trial.identity("ada"), "2", True) == (pick.speaker, pick.text, pick.channel.private)
        assert (Origin.PERSON, near.assurance, False, False) == (pick.origin, pick.assurance, pick.edit, pick.unkept)
        assert pick == load_message(dump(pick))
        if self.facts.rooms:
            near = await trial.meet("ada", room=True)
            choices = tuple(f"number {number}" for number in range(1, 6))
            await trial.say(near.channel, Reply("Which of these?", choices=choices, question="q2", answers=near))
            await trial.sees("ada", "Which of these?", room=True)
            await trial.harness.press("ada", "number 4", room=True)
            pick = await trial.comes(lambda one: one.picks == "q2", "the pick was delivered")

            assert (await trial.identity("ada"), "4", near.channel) == (pick.speaker, pick.text, pick.channel)

    @needs("presses")
    async def test_only_the_press_of_whoever_was_asked_counts(self, trial: Trial) -> None:
        """What bob presses below an answer to ada is nothing that anybody says."""
        if not (self.facts.rooms and self.facts.others):
            return
        near = await trial.meet("ada", room=True)
        await trial.say(near.channel, Reply("Delete it?", choices=("yes", "no"), question="q1", answers=near))
        await trial.sees("bob", "Delete it?", room=True)
        await trial.harness.press("bob", "yes", room=True)
        await trial.hear("bob", "I have pressed it", room=True)
        await trial.harness.press("ada", "no", room=True)
        ada = await trial.identity("ada")
        await trial.comes(lambda one: one.text == "2" and one.picks == "q1", "her own pick was delivered")

        assert [(ada, "2")] == [(one.speaker, one.text) for one in trial.heard if one.picks]

    @needs("presses")
    async def test_whoever_pressed_does_not_read_what_is_for_another(self, trial: Trial) -> None:
        """What is said to ada because bob pressed something is shown to her alone."""
        if not (self.facts.rooms and self.facts.others):
            return
        ada, near = await trial.identity("ada"), await trial.meet("bob", room=True)
        await trial.say(near.channel, Reply("Tell ada?", choices=("yes", "no"), question="q1", answers=near))
        await trial.sees("bob", "Tell ada?", room=True)
        await trial.harness.press("bob", "yes", room=True)
        pressed = await trial.comes(lambda one: one.picks == "q1", "the pick was delivered")
        await trial.say(Private(ada, pressed), Reply("a secret", answers=pressed))
        await trial.sees("ada", "a secret")

        for private in (True, False):
            seen = await trial.shown("bob", await trial.private("bob") if private else near.channel)
            assert not [one for one in seen if "secret" in one.text]

    @needs("fills")
    async def test_what_is_typed_into_a_form_leaves_no_record(self, trial: Trial) -> None:
        """It comes as a command in private that nobody else reads, marked as unkept, also where ada asked in a room."""
        ada, near = await trial.identity("ada"), await trial.meet("ada", room=self.facts.rooms)
        for number, (command, line) in enumerate((("confirm", "!confirm AB-12"), ("", "AB-12")), 1):
            label = f"Enter {number}"
            form = Form(label, "Code", command)
            await trial.say(Private(ada, near), Reply(f"Type it: {number}.", form=form, answers=near))
            await trial.sees("ada", f"Type it: {number}.")
            await trial.harness.fill("ada", label, "AB-12")
            typed = await trial.heard_as(line)

            assert (ada, True, True, "") == (typed.speaker, typed.unkept, typed.channel.private, typed.picks)
            assert (Origin.PERSON, near.assurance, False) == (typed.origin, typed.assurance, typed.edit)
            assert typed == load_message(dump(typed))
        if self.facts.others:
            assert not [one for one in await trial.harness.saw("bob", room=self.facts.rooms) if "AB-12" in one.text]

    @needs("opens")
    async def test_a_private_place_opens_for_one_person(self, trial: Trial) -> None:
        """Pressing the button says nothing, in private; what answers it is read by whoever the button is for."""
        ada, near = await trial.identity("ada"), await trial.meet("ada", room=True)
        await trial.say(near.channel, Reply("Something waits.", answers=near, opens=ada))
        await trial.sees("bob", "Something waits.", room=True)
        await trial.harness.open("bob")
        await trial.hear("bob", "I have pressed it", room=True)

        assert [] == [one for one in trial.heard if not one.text]

        await trial.harness.open("ada")
        opened = await trial.comes(lambda one: not one.text, "the place was opened")

        assert (ada, True, near.assurance) == (opened.speaker, opened.channel.private, opened.assurance)
        assert near.channel.id != opened.channel.id
        ways: tuple[Channel | Private, ...] = Private(ada, opened), opened.channel
        for number, to in enumerate(ways):
            await trial.say(to, Reply(f"the secret {number}", answers=opened))
            await trial.sees("ada", f"the secret {number}")
        for private in (True, False):
            seen = await trial.shown("bob", await trial.private("bob") if private else near.channel)
            assert not [one for one in seen if "secret" in one.text]

    async def test_what_cannot_be_shown_hides_no_words(self, trial: Trial) -> None:
        """Forms, questions and private places stand beside words that tell how without them."""
        ada, near = await trial.identity("ada"), await trial.meet("ada")
        form = Form("Enter the code", "Code", "confirm")
        reply = Reply("Type the code.", form=form, opens=ada, question="q1", answers=near)
        await trial.say(await trial.private("ada"), reply)

        await trial.sees("ada", "Type the code.")

    async def test_a_link_can_be_opened(self, trial: Trial) -> None:
        """Its address is there in full."""
        url = "https://example.org/l/a_b*c?x=1&y=%20z"
        to = await trial.private("ada")
        await trial.say(to, Reply("Please connect.", link=Link("Connect", url)))
        seen = await trial.shown("ada", to)

        assert any(url in one.links or url in one.text.replace("\\", "") for one in seen)

    @needs("pictures")
    async def test_a_picture_is_shown(self, trial: Trial) -> None:
        """It is seen along with the words, as it was given."""
        to = await trial.private("ada")
        await trial.say(to, Reply("as it was drawn", file=File("dot.png", "image/png", PNG)))
        seen = await trial.sees("ada", "as it was drawn")
        if not any(one.files for one in seen):
            seen = await trial.shown("ada", to)

        assert [("dot.png", PNG)] == [file for one in seen for file in one.files]

    async def test_bold_is_bold_or_plain(self, trial: Trial) -> None:
        """No Markdown is left to be read."""
        to = await trial.private("ada")
        await trial.say(to, "this is **bold** and `code`")
        shown = "\n".join(one.text for one in await trial.shown("ada", to))

        assert "bold" in shown
        if not self.facts.raw_markdown:
            assert "**" not in shown
            assert "`" not in shown

    # -- the rest ----------------------------------------------------------------------

    async def test_retracting_tells_whether_it_is_gone(self, trial: Trial) -> None:
        """Without the capability it is not, and nothing breaks."""
        message = await trial.meet("ada", room=self.facts.rooms)
        gone = await trial.adapter.retract(message)

        assert gone in {True, False}
        assert trial.adapter.capabilities.retract or not gone

    async def test_typing_breaks_nothing(self, trial: Trial) -> None:
        """The sign may be asked for anywhere."""
        await trial.adapter.typing((await trial.meet("ada")).channel)

        await trial.shown("ada", await trial.private("ada"))

    async def test_present_tells_who_reads(self, trial: Trial) -> None:
        """Ada reads where she speaks; somebody never seen reads nowhere."""
        channel = (await trial.meet("ada", room=self.facts.rooms)).channel
        nobody = Identity(trial.harness.network, "999999999999999999")

        assert await trial.adapter.present(await trial.identity("ada"), channel)
        assert not await trial.adapter.present(nobody, channel)

    @needs("leaves")
    async def test_who_left_is_not_present(self, trial: Trial) -> None:
        """Membership is as it is at this moment."""
        room, ada = await trial.room(), await trial.identity("ada")
        await trial.harness.leave("ada")

        async def probe() -> bool:
            return not await trial.adapter.present(ada, room)

        await trial.until(probe, "ada is gone")

    @needs("cuts")
    async def test_a_cut_is_told(self, trial: Trial) -> None:
        """What the network does not take is not said to be delivered; it takes things again later."""
        to = await trial.private("ada")
        await trial.harness.cut()

        async def refused() -> bool:
            try:
                await trial.say(to, "into the void")
            except NotDelivered:
                return True
            return False

        await trial.until(refused, "NotDelivered was raised")
        if not self.facts.restores:
            return
        await trial.harness.restore()

        async def accepted() -> bool:
            return not await refused()

        await trial.until(accepted, "the network took a reply again")
