"""Who is heard, in which order commands run, what is asked and answered, and how an error becomes words."""

import asyncio
import functools
import inspect
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from omnibot import dialogs, turn
from omnibot.demo.provider import DemoProvider
from omnibot.dispatcher import Seen
from omnibot.errors import KeyMissing, NotLinked, OmnibotError, Tampered, UserError
from omnibot.identity import Assurance, Guest, Identity
from omnibot.message import Channel, Link, Message, Origin, Reply
from omnibot.policy import Rule
from omnibot.skill import Context, LinkedContext, Skill
from omnibot.testing.bench import ADA, GRACE, MALLORY, Bench, Plan
from omnibot.testing.fakes import FakeAdapter

BOB = Guest("fake", "bob")
SECRET = "canary-7f3a"


class Probe:
    """A skill that does whatever a test wants to see, and remembers what ran."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.gate = asyncio.Event()
        self.thread_gate = threading.Event()
        self.begun = asyncio.Event()
        self.contexts: list[Context] = []
        self.skill = Skill("probe", aliases=("p",))
        plain: list[Callable[..., Any]] = [self.echo, self.number, self.broken, self.wrong, self.slow, self.nothing]
        plain += [
            self.whisper,
            self.button,
            self.ask,
            self.secret,
            self.choose,
            self.confirm,
            self.raises,
            self.calls,
            self.sync,
        ]
        plain += [self.group]
        for handler in plain:
            self.skill.command(_named(handler))
        self.skill.command(cooldown=60)(_named(self.cool))
        self.skill.command(timeout=0.02)(_named(self.late))
        self.skill.command(timeout=0.03)(_named(self.patient))
        self.skill.command(effect="destroy")(_named(self.destroy))
        self.skill.command(minimum=Assurance.STRONG)(_named(self.strong))
        self.skill.linked("demo")(_named(self.mine))
        self.skill.linked("demo")(_named(self.keep))
        self.skill.linked("demo", answer="channel")(_named(self.shown))
        self.error: BaseException = OmnibotError(SECRET)
        self.target: tuple[str, dict[str, object]] = ("ping", {})

    async def echo(self, ctx: Context, text: str = "nothing") -> str:  # noqa: D417 - the context is not typed in chat
        """Say it again.

        Args:
            text: what to say
        """
        self.ran.append(text)
        return text

    async def number(self, ctx: Context, count: int) -> str:
        """Take a number."""
        return str(count)

    async def broken(self, ctx: Context) -> str:
        """Break."""
        raise RuntimeError(SECRET)

    async def wrong(self, ctx: Context) -> str:
        """Say that it is the person's mistake."""
        raise UserError("You did that.")

    async def raises(self, ctx: Context) -> str:
        """Raise what the test wants."""
        raise self.error

    async def slow(self, ctx: Context, text: str = "slow") -> str:
        """Wait for the gate."""
        self.begun.set()
        await self.gate.wait()
        self.ran.append(text)
        return text

    async def nothing(self, ctx: Context) -> None:
        """Answer nothing."""
        self.ran.append("nothing")

    async def button(self, ctx: Context) -> Reply:
        """Answer with more than words."""
        return Reply("here", ("a", "b"), Link("there", "https://x.example/"))

    async def cool(self, ctx: Context) -> str:
        """Want a pause."""
        return "cool"

    async def late(self, ctx: Context) -> str:
        """Take too long."""
        self.begun.set()
        await asyncio.sleep(60)
        return "never"

    async def ask(self, ctx: Context) -> str:
        """Ask where it was said."""
        self.contexts.append(ctx)
        return f"you said: {await ctx.ask('What?')}"

    async def secret(self, ctx: Context) -> str:
        """Ask in private."""
        answer = await ctx.ask("Secretly?", private=True)
        self.ran.append(answer)
        return "thanks"

    async def whisper(self, ctx: Context) -> str:
        """Say something in private first."""
        await ctx.say("psst", private=True)
        return "done"

    async def group(self, ctx: Context) -> str:
        """Ask while something else is done."""
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(ctx.ask("What?"))
            if self.target[0] == "fails":
                tasks.create_task(self.broken(ctx))
        return f"you said: {asked.result()}"

    async def choose(self, ctx: Context) -> str:
        """Let them choose."""
        return f"chosen: {await ctx.choose('Which?', ['Apple', 'Banana', 'Blueberry'])}"

    async def confirm(self, ctx: Context) -> str:
        """Ask for a yes."""
        return f"said {await ctx.confirm('Sure?')}"

    async def patient(self, ctx: Context) -> str:
        """Ask within little time."""
        return f"you said: {await ctx.ask('What?')}"

    async def destroy(self, ctx: Context, what: str = "") -> str:
        """Destroy something."""
        self.ran.append("destroyed")
        return "gone"

    async def calls(self, ctx: Context) -> str:
        """Run another command."""
        name, args = self.target
        return f"it said {await ctx.invoke(name, **args)}"

    async def strong(self, ctx: Context) -> str:
        """Want a strong proof."""
        return "strong"

    def sync(self, ctx: Context) -> str:
        """Run outside the loop."""
        self.thread_gate.wait(5)
        return "main" if threading.current_thread() is threading.main_thread() else "thread"

    async def mine(self, ctx: LinkedContext) -> str:
        """Ask, then act."""
        self.contexts.append(ctx)
        answer = await ctx.ask("Whom?")
        return f"{answer}: {(await ctx.api.get('/api/me'))['login']}"

    async def keep(self, ctx: LinkedContext) -> str:
        """Keep the context for later."""
        self.contexts.append(ctx)
        return "kept"

    async def shown(self, ctx: LinkedContext) -> str:
        """Answer where it was said."""
        return ctx.account.login


def _named(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Return a bound method as the function that an author would write."""
    if inspect.iscoroutinefunction(handler):

        @functools.wraps(handler)
        async def run(*args: Any, **kwargs: Any) -> Any:
            return await handler(*args, **kwargs)

        return run

    @functools.wraps(handler)
    def run_sync(*args: Any, **kwargs: Any) -> Any:
        return handler(*args, **kwargs)

    return run_sync


@pytest.fixture
def probe() -> Probe:
    return Probe()


@pytest.fixture
async def provider() -> AsyncIterator[DemoProvider]:
    async with DemoProvider() as provider:
        yield provider


@pytest.fixture
def plan(tmp_path: Path, probe: Probe, provider: DemoProvider) -> Plan:
    return Plan(tmp_path, skills=("accounts", "help", "ping", probe.skill), provider=provider, timeout=5.0)


@pytest.fixture
async def bench(plan: Plan) -> AsyncIterator[Bench]:
    async with Bench.open(plan) as bench:
        yield bench


@pytest.fixture
def room(bench: Bench) -> Channel:
    return bench.network.room("ops", ADA, GRACE)


def texts(bench: Bench) -> list[str]:
    """Everything the bot said, as Markdown, in order."""
    return [said.reply.text for said in bench.network.said]


async def hear(bench: Bench, text: str, speaker: Identity | Guest = ADA, **more: Any) -> list[str]:
    """As `Bench.say`, with any field of the message."""
    before = len(bench.network.said)
    await bench.network.hear(text, speaker, more.pop("channel", None), **more)
    await bench.settle()
    return texts(bench)[before:]


async def until(condition: Callable[[], object]) -> None:
    """Let others run until *condition* holds."""
    async with asyncio.timeout(2):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0)


# -------------------------------------------------------------------------------------- addressing


@pytest.mark.parametrize("text", ["!ping", "  !ping  ", "! ping", "!PING", "!Ping\n"])
async def test_a_prefix_makes_a_command_anywhere(bench: Bench, room: Channel, text: str) -> None:
    """In a room and in private, whatever the case and the blanks."""
    assert ["pong"] == await bench.say(text)
    assert ["pong"] == await bench.say(text, channel=room)


async def test_in_private_no_prefix_is_needed(bench: Bench) -> None:
    """There is nobody else to speak to."""
    assert ["pong"] == await bench.say("ping")


async def test_in_a_room_words_without_a_prefix_are_not_for_the_bot(bench: Bench, room: Channel) -> None:
    """Unless it is addressed by name."""
    assert [] == await bench.say("ping", channel=room)
    assert ["pong"] == await hear(bench, "ping", channel=room, addressed=True)


async def test_the_answer_goes_where_it_was_asked(bench: Bench, room: Channel) -> None:
    """And tells which message it answers."""
    heard = await bench.network.hear("!ping", ADA, room)
    await bench.settle()
    said = bench.network.said[-1]

    assert (room, heard) == (said.to, said.reply.answers)


@pytest.mark.parametrize("text", ["!!ping", "!!", "!", "", "   ", "> !ping", ">!ping\nwell said"])
async def test_these_are_no_commands(bench: Bench, room: Channel, text: str) -> None:
    """An exclamation, a bare prefix, a quotation (A31)."""
    assert [] == await bench.say(text, channel=room)


async def test_what_stands_below_a_quotation_is_a_command(bench: Bench, room: Channel) -> None:
    """Answering somebody, one may still command."""
    assert ["pong"] == await bench.say("> !probe broken\n!ping", channel=room)


async def test_arguments_come_from_outside_a_quotation(bench: Bench, probe: Probe) -> None:
    """The quoted lines are no part of the last argument either."""
    await bench.say("!probe echo one\n> quoted\ntwo")

    assert ["one\ntwo"] == probe.ran


# ------------------------------------------------------------------------------- not understood


async def test_an_unknown_command_in_a_room_is_passed_over(bench: Bench, room: Channel) -> None:
    """It may be another bot's, however near it is to one of ours."""
    assert [] == await bench.say("!frobnicate", channel=room)
    assert [] == await bench.say("!pign", channel=room)


@pytest.mark.parametrize("more", [{"addressed": True}, {}])
async def test_who_spoke_to_the_bot_is_told(bench: Bench, room: Channel, more: dict[str, Any]) -> None:
    """Addressed in a room, or with a prefix in private."""
    channel = room if more else None
    said = await hear(bench, "!xyzzy", channel=channel, **more)

    assert ["I do not know that. `!help` lists what I can do."] == said


async def test_chatter_in_private_is_left_alone(bench: Bench) -> None:
    """Without a prefix it may be no command at all."""
    assert [] == await bench.say("xyzzy plugh")


async def test_a_near_miss_is_offered(bench: Bench, room: Channel) -> None:
    """To whoever certainly speaks to the bot."""
    offered = ["I do not know that. Did you mean `!pin` or `!ping`?"]

    assert offered == await bench.say("!pign")
    assert offered == await hear(bench, "pign", channel=room, addressed=True)


async def test_a_near_miss_of_a_skills_own_is_offered_in_a_room_too(bench: Bench, room: Channel) -> None:
    """Its first word says that it is meant for us."""
    said = await bench.say("!probe ecko", channel=room)

    assert 1 == len(said)
    assert said[0].startswith("I do not know that. Did you mean `!probe echo`")


async def test_a_skills_bare_word_lists_its_commands(bench: Bench) -> None:
    """Also by its alias; each with its usage."""
    for word in ("!probe", "!p", "!PROBE"):
        said = await bench.say(word)

        assert 1 == len(said)
        assert "- `!probe echo [text…]`: Say it again" in said[0].split("\n")
        assert "- `!probe number <count>`: Take a number" in said[0].split("\n")


async def test_an_alias_stands_for_the_first_word(bench: Bench) -> None:
    """`!p echo` is `!probe echo`."""
    assert ["hi"] == await bench.say("!p echo hi")


@pytest.mark.parametrize("flag", ["--help", "-h", "  --help "])
async def test_help_explains_and_does_not_run(bench: Bench, probe: Probe, flag: str) -> None:
    """Usage, summary, and each argument."""
    said = await bench.say(f"!probe echo {flag}")

    assert ["`!probe echo [text…]`\nSay it again.\n- `[text…]`: what to say"] == said
    assert [] == probe.ran


async def test_help_of_a_bare_skill_is_its_list(bench: Bench) -> None:
    """As the word alone."""
    assert await bench.say("!probe") == await bench.say("!probe --help")
    assert ["I do not know that. `!help` lists what I can do."] == await bench.say("!zzzz --help")


async def test_wrong_arguments_show_the_usage(bench: Bench) -> None:
    """What does not fit, and how it is written."""
    said = await bench.say("!probe number many")

    assert ["`count` is a whole number, not `many`. Usage: `!probe number <count>`"] == said


# ------------------------------------------------------------------------------------------ answers


async def test_a_handler_may_answer_nothing(bench: Bench, probe: Probe) -> None:
    """Then nothing is said."""
    assert [] == await bench.say("!probe nothing")
    assert ["nothing"] == probe.ran


async def test_a_handler_may_answer_with_a_link_and_choices(bench: Bench) -> None:
    """All of the reply goes out."""
    await bench.say("!probe button")
    reply = bench.network.said[-1].reply

    assert ("here", ("a", "b"), Link("there", "https://x.example/")) == (reply.text, reply.choices, reply.link)


async def test_two_answers_have_two_keys(bench: Bench, room: Channel) -> None:
    """The adapter says nothing twice for one key, so each reply has its own."""
    await bench.say("!probe confirm", channel=room)
    await bench.say("yes", channel=room)
    keys = [said.key for said in bench.network.said]

    assert 2 == len(set(keys)) == len(keys)


# ------------------------------------------------------------------------------------- not listened to


@pytest.mark.parametrize(
    "more",
    [
        {"origin": Origin.SELF},
        {"origin": Origin.BOT},
        {"origin": Origin.WEBHOOK},
        {"origin": Origin.GHOST},
        {"edit": True},
        {"at": 1000.0},
    ],
    ids=lambda more: "-".join(map(str, more.items())),
)
async def test_some_are_not_listened_to(bench: Bench, more: dict[str, Any]) -> None:
    """A28, A30: the bot itself, other bots, webhooks, bridged speakers, edits, old events."""
    assert [] == await hear(bench, "!ping", **more)
    assert ["pong"] == await bench.say("!ping")


async def test_a_message_is_heard_once(bench: Bench) -> None:
    """A30: networks deliver again after a reconnect."""
    heard = await bench.network.hear("!ping", ADA)
    await bench.network.redeliver(heard, heard)
    await bench.settle()

    assert ["pong"] == texts(bench)


async def test_an_id_is_its_networks_own(plan: Plan) -> None:
    """Two networks may give the same id to two messages."""
    one, other = FakeAdapter("one"), FakeAdapter("other")
    async with Bench.open(replace(plan, networks=(one, other))) as bench:
        for network in (one, other):
            await network.hear("!ping", Identity(network.network, "u"), id="same")
        await bench.settle()

    assert (["pong"], ["pong"]) == (one.texts(), other.texts())


def test_only_the_latest_ids_are_remembered() -> None:
    """The memory is bounded; what is new pushes out what is oldest."""
    seen = Seen(most=2)
    messages = [Message("fake", str(number), ADA, Channel("fake", "c"), "", 0.0) for number in range(3)]
    first = [seen.again(one) for one in (messages[0], messages[0], messages[1], messages[2])]

    assert [False, True, False, False] == first
    assert [True, False] == [seen.again(messages[1]), seen.again(messages[0])]


# ------------------------------------------------------------------------------------------- order


async def test_one_speakers_commands_run_in_the_order_they_came(bench: Bench, probe: Probe) -> None:
    """Each begins when the one before has ended."""
    await bench.network.hear("!probe slow one", ADA)
    await bench.network.hear("!probe echo two", ADA)
    await bench.network.hear("!probe echo three", ADA)
    await probe.begun.wait()
    await asyncio.sleep(0.01)
    before = list(probe.ran)
    probe.gate.set()
    await bench.settle()

    assert [] == before
    assert ["one", "two", "three"] == probe.ran


async def test_one_speaker_does_not_wait_for_another(bench: Bench, probe: Probe, room: Channel) -> None:
    """Nor does a room."""
    await bench.network.hear("!probe slow ada", ADA, room)
    await bench.network.hear("!probe echo grace", GRACE, room)
    await bench.network.hear("!probe echo guest", BOB, room)
    await until(lambda: len(probe.ran) == 2)
    probe.gate.set()
    await bench.settle()

    assert ["grace", "guest", "ada"] == probe.ran


async def test_twenty_may_wait_and_the_next_is_refused(bench: Bench, probe: Probe) -> None:
    """One floods only oneself; what was refused is said, what was accepted runs, and nothing is kept after."""
    await bench.network.hear("!probe slow 0", ADA)
    for number in range(1, 21):
        await bench.network.hear(f"!probe echo {number}", ADA)
    await until(lambda: texts(bench))
    refused = texts(bench)
    other = await bench.network.hear("!probe echo grace", GRACE)
    await until(lambda: "grace" in probe.ran)
    probe.gate.set()
    await bench.settle()

    assert ["You have many commands waiting. Let them finish first."] == refused
    assert other.id in [said.reply.answers.id for said in bench.network.said if said.reply.answers]
    assert ["grace", *map(str, range(20))] == probe.ran
    assert {} == bench.core.dispatcher._runner._lanes


async def test_delivery_waits_when_too_much_is_under_way(
    bench: Bench, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The adapter is held back, so that nothing grows without end; and goes on when something has ended."""
    monkeypatch.setattr("omnibot.runner.MOST_A_NETWORK", 2)
    await bench.network.hear("!probe slow", ADA)
    await bench.network.hear("!probe slow", GRACE)
    held = asyncio.create_task(bench.network.hear("!ping", MALLORY))
    await asyncio.sleep(0.01)
    waited = not held.done()
    probe.gate.set()
    await held
    await bench.settle()

    assert waited
    assert "pong" in texts(bench)


async def test_a_cooldown_is_for_one_speaker_and_one_command(bench: Bench) -> None:
    """The next one in time is told how long."""
    first, second = await bench.say("!probe cool"), await bench.say("!probe cool")

    assert ["cool"] == first
    assert ["Not so fast: `probe cool` again in 60 seconds."] == second
    assert ["cool"] == await bench.say("!probe cool", GRACE)
    assert ["pong"] == await bench.say("!ping")


async def test_cooldowns_that_are_over_are_forgotten(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many people ever used it."""
    monkeypatch.setattr("omnibot.dispatcher._REMEMBERED", 1)
    cooling = bench.core.dispatcher._cooling
    cooling.update({(Identity("fake", str(number)), ("x",)): 0.0 for number in range(5)})
    await bench.say("!probe cool")

    assert [(ADA, ("probe", "cool"))] == list(bench.core.dispatcher._cooling)


# --------------------------------------------------------------------------------- time and threads


async def test_a_command_that_takes_too_long_is_stopped(bench: Bench, probe: Probe) -> None:
    """Its speaker is told, and their next command runs."""
    await bench.network.hear("!probe late", ADA)
    await bench.network.hear("!ping", ADA)
    await bench.settle()

    assert ["`probe late` took too long and was stopped.", "pong"] == texts(bench)


async def test_the_configured_limit_holds_where_a_command_says_nothing(plan: Plan, probe: Probe) -> None:
    """The operator's seconds."""
    async with Bench.open(replace(plan, timeout=0.02)) as bench:
        said = await bench.say("!probe slow")

    assert ["`probe slow` took too long and was stopped."] == said


async def test_a_plain_function_runs_in_a_thread(bench: Bench, probe: Probe) -> None:
    """It may block as it likes: the loop goes on."""
    await bench.network.hear("!probe sync", ADA)
    await bench.network.hear("!ping", GRACE)
    await until(lambda: texts(bench))
    meanwhile = texts(bench)
    probe.thread_gate.set()
    await bench.settle()

    assert ["pong"] == meanwhile
    assert ["pong", "thread"] == texts(bench)


async def test_a_typing_sign_is_shown_while_an_answer_takes_its_time(
    bench: Bench, probe: Probe, room: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not for what is answered at once; an adapter that cannot show it stops nothing."""
    await bench.say("!ping", channel=room)
    at_once = list(bench.network.typed)
    monkeypatch.setattr(turn, "_TYPING_AFTER", 0.0)
    await bench.network.hear("!probe slow", ADA, room)
    await until(lambda: bench.network.typed)

    async def fail(channel: Channel) -> None:
        raise RuntimeError

    monkeypatch.setattr(bench.network, "typing", fail)
    await bench.network.hear("!probe slow", GRACE, room)
    await asyncio.sleep(0.01)
    probe.gate.set()
    await bench.settle()

    assert [] == at_once
    assert [room] == bench.network.typed
    assert ["pong", "slow", "slow"] == texts(bench)


# ------------------------------------------------------------------------------------------- errors


async def test_an_unforeseen_error_is_a_reference_for_the_speaker_and_a_traceback_for_the_log(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """The two have the reference in common; nothing of the error is said."""
    said = await bench.say("!probe broken")
    record = caplog.records[-1]
    reference = record.getMessage()[1:5]

    assert [f"Something broke (ref {reference})."] == said
    assert f"[{reference}] probe broken failed" == record.getMessage()
    assert record.exc_info is not None
    assert RuntimeError is record.exc_info[0]
    assert ["pong"] == await bench.say("!ping")


async def test_a_persons_mistake_is_said_as_it_stands(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """And is nothing for the log."""
    assert ["You did that."] == await bench.say("!probe wrong")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_an_error_of_ours_is_logged_in_one_line(
    bench: Bench, probe: Probe, caplog: pytest.LogCaptureFixture
) -> None:
    """Its text is made for the log and holds no secret; a traceback would tell nothing more."""
    said = await bench.say("!probe raises")
    record = caplog.records[-1]

    assert [f"Something broke (ref {record.getMessage()[1:5]})."] == said
    assert f"probe raises failed: OmnibotError: {SECRET}" in record.getMessage()
    assert not record.exc_info


@pytest.mark.parametrize("error", [SystemExit(1), asyncio.CancelledError(), BaseExceptionGroup("x", [SystemExit(1)])])
async def test_nothing_that_a_handler_raises_ends_the_bot(bench: Bench, probe: Probe, error: BaseException) -> None:
    """Not even what ends programs; its speaker is told as of any other."""
    probe.error = error
    said = await bench.say("!probe raises")

    assert 1 == len(said)
    assert said[0].startswith("Something broke (ref ")
    assert ["pong"] == await bench.say("!ping")


async def test_a_question_in_a_group_of_tasks_is_answered_or_cancelled_as_any(bench: Bench, probe: Probe) -> None:
    """Authors do several things at once."""
    await bench.say("!probe group")
    answered = await bench.say("me")
    await bench.say("!probe group")
    cancelled = await bench.say("!ping")
    probe.target = ("fails", {})
    await bench.say("!probe group")
    await until(
        lambda: texts(bench)[-1].startswith("Something broke") or texts(bench)[-2].startswith("Something broke")
    )

    assert ["you said: me"] == answered
    assert ["`probe group` is cancelled.", "pong"] == sorted(cancelled)
    assert ["pong"] == await bench.say("!ping")


async def test_a_service_that_is_not_there_cannot_be_linked(bench: Bench, probe: Probe) -> None:
    """A skill's author named it wrong: the person is told what there is."""
    probe.error = NotLinked("moon")
    said = await bench.say("!probe raises")

    assert ["I do not know that service. I know: demo."] == said


async def test_an_endless_answer_is_cut(bench: Bench, probe: Probe) -> None:
    """It says so."""
    said = await bench.say("!probe echo " + "x" * 30_000)

    assert ["x" * 20_000 + "\n… (cut)"] == said


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (KeyMissing("0badcafe"), '{"command":"probe raises","table":"","why":"KeyMissing"}'),
        (Tampered("accounts", "a-1"), '{"command":"probe raises","table":"accounts","why":"Tampered"}'),
    ],
)
async def test_a_refusal_of_the_vault_is_said_logged_and_recorded(
    bench: Bench, probe: Probe, caplog: pytest.LogCaptureFixture, error: Exception, detail: str
) -> None:
    """The speaker cannot mend it, the operator can."""
    probe.error = error
    said = await bench.say("!probe raises")
    await bench.core.audit.flush()

    assert 1 == len(said)
    assert said[0].startswith("I cannot use linked accounts just now; tell my operator (ref ")
    assert str(error) in caplog.text
    assert [{"event": "vault.refused", "detail": detail}] == await bench.rows("SELECT event, detail FROM audit")


async def test_a_task_that_fails_outside_a_command_is_logged(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody waits for does not fail in silence."""

    async def fail(*_: object) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(bench.core.delivery, "keeps_for", lambda identity: True)
    monkeypatch.setattr(bench.core.delivery, "give_notices", fail)

    assert ["pong"] == await bench.say("!ping")
    assert "the task notices failed" in caplog.text


# ------------------------------------------------------------------------------------------ asking


async def test_the_next_words_are_the_answer(bench: Bench, room: Channel) -> None:
    """Of the same person in the same place."""
    assert ["What?"] == await bench.say("!probe ask", channel=room)
    assert ["you said: this and that"] == await bench.say("this and that", channel=room)
    assert [] == await bench.say("and more", channel=room)


async def test_only_the_one_who_was_asked_answers(bench: Bench, room: Channel) -> None:
    """Nobody else, and not from elsewhere."""
    await bench.say("!probe ask", channel=room)

    assert [] == await bench.say("I", GRACE, room)
    assert [] == await bench.say("I", BOB, room)
    assert [] == await bench.say("xyzzy", ADA, bench.network.room("other", ADA))
    assert [] == await bench.say("xyzzy", ADA)
    assert ["you said: me"] == await bench.say("me", channel=room)


@pytest.mark.parametrize(
    "more", [{"origin": Origin.BOT}, {"edit": True}, {"at": 1000.0}, {"assurance": Assurance.ACCOUNT}]
)
async def test_what_may_not_command_may_not_answer(bench: Bench, room: Channel, more: dict[str, Any]) -> None:
    """A bot, an edit, an old event; and what is vouched for less than the command was."""
    await bench.say("!probe ask", channel=room)

    assert [] == await hear(bench, "yes", channel=room, **more)
    assert ["you said: me"] == await bench.say("me", channel=room)


async def test_a_stronger_proof_may_answer(bench: Bench, room: Channel) -> None:
    """It is no less than what was wanted."""
    await hear(bench, "!probe ask", channel=room, assurance=Assurance.ACCOUNT)

    assert ["you said: me"] == await bench.say("me", channel=room)


async def test_a_guest_may_be_asked(bench: Bench, room: Channel) -> None:
    """Nobody vouches for them, before or after."""
    assert ["What?"] == await bench.say("!probe ask", BOB, room)
    assert ["you said: me"] == await bench.say("me", BOB, room)


async def test_a_new_command_cancels_the_question(bench: Bench, room: Channel) -> None:
    """The old one ends with words, the new one runs; what is said then is no answer any more."""
    await bench.say("!probe ask", channel=room)
    said = await bench.say("!ping", channel=room)

    assert sorted(["`probe ask` is cancelled.", "pong"]) == sorted(said)
    assert [] == await bench.say("me", channel=room)


async def test_in_private_an_answer_may_be_a_commands_name(bench: Bench) -> None:
    """Without its prefix it is the answer."""
    await bench.say("probe ask")

    assert ["you said: ping"] == await bench.say("ping")


async def test_a_second_question_in_the_same_place_replaces_the_first(bench: Bench, probe: Probe) -> None:
    """Two rooms' commands ask in private: the answer is to the latter."""
    rooms = [bench.network.room(name, ADA) for name in ("one", "two")]
    await bench.say("!probe secret", channel=rooms[0])
    await bench.say("!probe secret", channel=rooms[1])
    await bench.say("me")

    assert "`probe secret` is cancelled." == bench.network.said[-2].reply.text
    assert [rooms[0], rooms[1]] == [said.to for said in bench.network.said[-2:]]
    assert ["me"] == probe.ran


async def test_two_minutes_without_an_answer_cancel(
    bench: Bench, room: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said where it was asked."""
    limit = dialogs.ANSWER_SECONDS
    monkeypatch.setattr(dialogs, "ANSWER_SECONDS", 0.01)
    await bench.say("!probe ask", channel=room)
    await until(lambda: len(texts(bench)) == 2)

    assert 120.0 == limit
    assert ["What?", "`probe ask` is cancelled."] == texts(bench)
    assert not bench.core.dispatcher._dialogs


async def test_who_waits_for_an_answer_lets_the_next_command_start(bench: Bench, room: Channel) -> None:
    """A question gives the place up, and takes it again when answered."""
    await bench.say("!probe ask", channel=room)

    assert ["pong"] == await bench.say("!ping")
    assert ["you said: me"] == await bench.say("me", channel=room)


async def test_an_answer_waits_for_the_command_under_way(bench: Bench, probe: Probe, room: Channel) -> None:
    """Also after a question one speaker's commands do not run at once."""
    await bench.say("!probe ask", channel=room)
    await bench.network.hear("!probe slow", ADA)
    await probe.begun.wait()
    await bench.network.hear("me", ADA, room)
    await asyncio.sleep(0.01)
    before = texts(bench)
    probe.gate.set()
    await bench.settle()

    assert ["What?"] == before
    assert ["What?", "slow", "you said: me"] == texts(bench)


async def test_waiting_for_an_answer_costs_no_time(bench: Bench, room: Channel) -> None:
    """A command's clock stands still meanwhile, and what was left is left."""
    await bench.say("!probe patient", channel=room)
    await asyncio.sleep(0.05)

    assert ["you said: me"] == await bench.say("me", channel=room)


async def test_a_private_question_is_answered_in_private(bench: Bench, probe: Probe, room: Channel) -> None:
    """The room sees neither; words in the room are no answer."""
    said = await bench.say("!probe secret", channel=room)
    ignored = await bench.say("loudly", channel=room)
    answered = await bench.say("hunter2")

    assert "Secretly?" in said
    assert "Secretly?" not in bench.network.texts(room)
    assert [] == ignored
    assert ["hunter2"] == probe.ran
    assert ["thanks"] == answered


async def test_a_guest_in_a_room_is_told_how_to_log_in(bench: Bench, room: Channel) -> None:
    """A linked command answers in private, but why it does not run for them is no secret."""
    (refusal,) = await bench.say("!probe mine", BOB, room)

    assert "Log in to its account services first" in refusal


async def test_what_is_private_is_told_no_guest_in_a_room(bench: Bench, room: Channel) -> None:
    """Nobody could be reached alone: neither words nor questions go out before others."""
    asked = await bench.say("!probe secret", BOB, room)
    whispered = await bench.say("!probe whisper", BOB, room)
    mine = await bench.say("!probe whisper", ADA, room)

    assert ["I can ask you that only in a private conversation."] == asked
    assert ["I can tell you that only in a private conversation.", "done"] == whispered
    assert ["psst", "I have answered you in private.", "done"] == mine
    assert "psst" not in bench.network.texts(room)


@pytest.mark.parametrize(
    ("said", "chosen"),
    [
        ("1", "Apple"),
        ("3", "Blueberry"),
        ("apple", "Apple"),
        ("BANANA", "Banana"),
        ("ba", "Banana"),
        ("bl", "Blueberry"),
        (" Apple ", "Apple"),
    ],
)
async def test_a_choice_is_made_by_number_word_or_beginning(
    bench: Bench, room: Channel, said: str, chosen: str
) -> None:
    """Whatever the case."""
    await bench.say("!probe choose", channel=room)

    assert [f"chosen: {chosen}"] == await bench.say(said, channel=room)
    assert ("Apple", "Banana", "Blueberry") == bench.network.said[0].reply.choices


@pytest.mark.parametrize("said", ["b", "0", "4", "cherry", "-1", "²", "9" * 5000])
async def test_what_is_no_choice_is_asked_again_and_in_the_end_given_up(bench: Bench, room: Channel, said: str) -> None:
    """Three times in all."""
    rounds = [await bench.say("!probe choose", channel=room)]
    rounds += [await bench.say(said, channel=room) for _ in range(3)]

    again = ["Which? Say one of these, or `cancel`."]
    assert [["Which?"], again, again, ["I asked for one of Apple, Banana, Blueberry."]] == rounds


async def test_a_choice_can_be_cancelled(bench: Bench) -> None:
    """As a new command would cancel it."""
    await bench.say("!probe choose")

    assert ["`probe choose` is cancelled."] == await bench.say("Cancel")


@pytest.mark.parametrize(("said", "outcome"), [("yes", True), ("y", True), ("1", True), ("no", False), ("N", False)])
async def test_a_confirmation_is_a_choice_of_two(bench: Bench, said: str, outcome: bool) -> None:
    """By word or by its beginning."""
    await bench.say("!probe confirm")

    assert [f"said {outcome}"] == await bench.say(said)


async def test_what_destroys_asks_by_itself(bench: Bench, probe: Probe) -> None:
    """The question repeats the whole command; without a yes nothing runs."""
    asked = await bench.say("!probe destroy the *house*")
    refused = await bench.say("no")
    before = list(probe.ran)
    await bench.say("!probe destroy")

    assert ["Really `probe destroy the *house*`? Destroy something."] == asked
    assert ["Not done."] == refused
    assert [] == before
    assert ["gone"] == await bench.say("yes")
    assert ["destroyed"] == probe.ran


# ------------------------------------------------------------------------- acting as the speaker


async def test_a_linked_commands_answer_is_private(bench: Bench, room: Channel) -> None:
    """In a room only "answered in private" shows; unless the command says otherwise."""
    await bench.link()
    before = len(bench.network.said)
    await bench.say("!probe keep", channel=room)
    said = bench.network.said[before:]

    assert ["I have answered you in private."] == [one.text for one in said if not one.channel.private]
    assert ["kept"] == [one.text for one in said if one.channel.private]
    assert ["ada"] == await bench.say("!probe shown", channel=room)
    assert "ada" == bench.network.texts(room)[-1]


async def test_an_answer_that_finds_no_private_way_is_kept(bench: Bench, room: Channel) -> None:
    """The room learns that there is one; it is given when they speak in private."""
    await bench.link()
    bench.network.close_dms(ADA)
    said = await bench.say("!probe keep", channel=room)
    bench.network.open_dms(ADA)

    assert 1 == len(said)
    assert "cannot reach you in private" in said[0]
    assert ["kept", "pong"] == sorted(await bench.say("!ping"))


async def test_a_question_closes_the_grant_and_its_answer_opens_another(bench: Bench, probe: Probe) -> None:
    """While somebody thinks, nothing of theirs can be opened; afterwards the session goes on."""
    await bench.link()
    await bench.say("!probe mine")
    waiting = set(bench.core.grants._live)
    ctx = probe.contexts[-1]
    assert isinstance(ctx, LinkedContext)
    with pytest.raises(OmnibotError, match="this turn has ended"):
        await ctx.api.get("/api/me")
    answered = await bench.say("me")

    assert set() == waiting
    assert ["me: ada"] == answered
    assert set() == bench.core.grants._live


async def test_a_session_that_is_kept_opens_nothing_later(bench: Bench, probe: Probe) -> None:
    """The grant ended with the turn."""
    await bench.link()
    await bench.say("!probe keep")
    ctx = probe.contexts[-1]
    assert isinstance(ctx, LinkedContext)

    with pytest.raises(OmnibotError, match="this turn has ended"):
        await ctx.api.get("/api/me")
    assert "ada" not in repr(ctx.api)


async def test_what_people_did_as_themselves_is_recorded(bench: Bench) -> None:
    """Command, skill, account and outcome; commands that need no account are nobody's business."""
    await bench.link()
    await bench.say("!ping")
    await bench.say("!probe shown")
    await bench.core.audit.flush()

    assert [
        {
            "as": ["demo@default"],
            "changes": 0,
            "command": "probe shown",
            "outcome": "done",
            "requests": 0,
            "skill": "probe",
            "upstream": [],
        }
    ] == await commands_on_record(bench)


async def commands_on_record(bench: Bench) -> list[dict[str, Any]]:
    await bench.core.audit.flush()
    found = await bench.rows("SELECT detail FROM audit WHERE event = 'command' ORDER BY seq")
    return [json.loads(str(row["detail"])) for row in found]


async def test_what_was_refused_is_recorded(bench: Bench) -> None:
    """Whoever tries what they may not, be it without any account."""
    await bench.link()
    await bench.network.hear("!probe strong", ADA, assurance=Assurance.ACCOUNT)
    await bench.settle()

    assert [("probe strong", "Denied")] == [(one["command"], one["outcome"]) for one in await commands_on_record(bench)]


async def test_what_was_cut_off_by_the_bots_end_is_recorded(bench: Bench) -> None:
    """What it had done until then was done as them."""
    await bench.link()
    asked = await bench.say("!probe mine")
    await bench.core.dispatcher.close(0.01)

    assert 1 == len(asked)
    assert [("probe mine", "stopped", ["demo@default"])] == [
        (one["command"], one["outcome"], one["as"]) for one in await commands_on_record(bench)
    ]


async def test_a_guest_is_told_why_not(bench: Bench, room: Channel) -> None:
    """And nothing is begun for them."""
    said = await bench.say("!probe shown", BOB, room)

    assert 1 == len(said)
    assert "needs to know who you are" in said[0]
    assert [] == await bench.rows("SELECT * FROM flows")


# --------------------------------------------------------------------------------- other commands


async def test_a_command_may_run_another(bench: Bench, probe: Probe) -> None:
    """With its arguments or their defaults; it gets what the handler returned, which is not said."""
    plain = await bench.say("!probe calls")
    probe.target = ("probe echo", {"text": "hi"})
    given = await bench.say("!probe calls")
    probe.target = ("probe echo", {})

    assert ["it said pong"] == plain
    assert ["it said hi"] == given
    assert ["it said nothing"] == await bench.say("!probe calls")


@pytest.mark.parametrize(
    ("target", "error"),
    [
        (("frobnicate", {}), "LookupError"),
        (("ping now", {}), "LookupError"),
        (("probe number", {}), "wants count"),
    ],
)
async def test_running_what_cannot_be_run_is_the_authors_mistake(
    bench: Bench, probe: Probe, caplog: pytest.LogCaptureFixture, target: Any, error: str
) -> None:
    """It is logged with what was wrong."""
    probe.target = target
    said = await bench.say("!probe calls")

    assert 1 == len(said)
    assert said[0].startswith("Something broke")
    assert error in caplog.text


async def test_what_is_run_for_another_command_is_checked_as_if_it_was_said(plan: Plan, probe: Probe) -> None:
    """Policy and assurance; and what destroys asks."""
    async with Bench.open(replace(plan, rules=(Rule("fake:u-1", "ping", "deny"),))) as bench:
        denied = await bench.say("!probe calls")
        allowed = await bench.say("!probe calls", GRACE)
        probe.target = ("probe strong", {})
        weak = await hear(bench, "!probe calls", assurance=Assurance.ACCOUNT)
        strong = await hear(bench, "!probe calls")
        probe.target = ("probe destroy", {})
        asked = await bench.say("!probe calls")
        gone = await bench.say("yes")

    assert ["The operator of this bot does not allow you that command."] == denied
    assert ["it said pong"] == allowed
    assert "`probe strong` needs a stronger proof" in weak[0]
    assert ["it said strong"] == strong
    assert ["Really `probe destroy`? Destroy something."] == asked
    assert ["it said gone"] == gone


async def test_a_linked_command_may_be_run_by_one_that_is_not(bench: Bench, probe: Probe) -> None:
    """Not linked, the person is sent a link for it, and the outer command waits; linked, it acts as them."""
    probe.target = ("probe shown", {})
    missing = await bench.say("!probe calls")
    await bench.say("!link demo")
    await bench.link()

    assert "To connect **Demo notes**" in missing[0]
    assert "`!probe calls`" in missing[0]
    assert ["it said ada"] == await bench.say("!probe calls")


# ------------------------------------------------------------------- networks that deliver again


def kept(text: str, speaker: Identity | Guest = ADA, **more: Any) -> Message:
    """A message as an adapter makes it."""
    assurance = Assurance.STRONG if isinstance(speaker, Identity) else None
    fields: dict[str, Any] = {"id": f"event {text}", "at": time.time(), "assurance": assurance} | more
    channel = fields.pop("channel", Channel("fake", "dm u-1", private=True))
    return Message("fake", speaker=speaker, channel=channel, text=text, **fields)


async def test_a_position_is_durable_with_what_came_before_it(bench: Bench, probe: Probe, room: Channel) -> None:
    """A command's row stays while it waits for its turn, and is gone when it starts; what leads nowhere has none."""
    deliver = bench.core.dispatcher.deliver("fake")
    await bench.network.hear("!probe slow", ADA)
    await probe.begun.wait()
    chatter = kept("chatter", GRACE, channel=room)
    await deliver([kept("!probe echo one"), chatter, kept("!probe echo two", edit=True)], "s1")
    position = await bench.core.tools("fake").position()
    waiting = [message.text for _, message, _ in await bench.core.intake.left("fake")]
    probe.gate.set()
    await bench.settle()

    assert "s1" == position
    assert ["!probe echo one"] == waiting
    assert [] == await bench.core.intake.left("fake")
    assert ["slow", "one"] == probe.ran


async def test_many_messages_at_once_are_not_compared_with_each_other(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that hands over two thousand after a pause holds nothing up; each has the row that is its own."""
    compared = list[object]()

    def compare(one: Message, other: object) -> bool:
        compared.append(other)
        return one is other

    monkeypatch.setattr(Message, "__eq__", compare)
    room = bench.network.room("ops", ADA)
    lines = ("!probe echo one", "!probe secret public", "!probe echo two")
    await bench.network.redeliver(*(kept(one, channel=room) for one in lines), position="s1")
    await bench.settle()

    assert [] == compared
    assert [] == await bench.rows("SELECT * FROM waiting")


async def test_what_leads_to_no_command_after_all_is_dropped_at_once(bench: Bench) -> None:
    """Help, a question to the whole, what was heard before: nothing is left to start."""
    help_, near, ping = (kept(text, channel=bench.network.dm(ADA)) for text in ("!ping --help", "!pign", "!ping"))
    await bench.network.redeliver(help_, near, ping, position="s1")
    await bench.network.redeliver(ping, position="s2")
    await bench.settle()

    assert 3 == len(texts(bench))
    assert [] == await bench.rows("SELECT * FROM waiting")


async def test_what_was_accepted_before_a_crash_is_run_when_its_network_is_ready(plan: Plan, probe: Probe) -> None:
    """Once, and its answer is heard; what came too long before is not run, and its speaker is told."""
    async with Bench.open(plan) as bench:
        await bench.say("!ping")
        await bench.core.intake.accept("fake", [kept("!probe echo fresh")], "s1")
        bench.clock.pass_(-500)
        old = [kept("!probe echo old"), kept("!probe echo guest", BOB)]
        await bench.core.intake.accept("fake", old, "s2")
        bench.clock.pass_(500)
    async with Bench.open(plan) as bench:
        bench.network.dm(ADA)
        await until(lambda: len(texts(bench)) == 2)
        await bench.settle()
        said = texts(bench)
        left = await bench.rows("SELECT * FROM waiting")
    async with Bench.open(plan) as bench:
        await bench.say("!ping")
        again = texts(bench)

    assert ["fresh"] == probe.ran
    assert ["I was restarted before I could run `!probe echo old`. It was not run: say it again.", "fresh"] == said
    assert [] == left
    assert ["pong"] == again


async def test_what_starts_is_not_started_again(bench: Bench, probe: Probe) -> None:
    """Its row decides, whoever holds the message."""
    row = (await bench.core.intake.accept("fake", [kept("!probe echo one")], "s1"))[0]
    for number in range(2):
        bench.core.dispatcher._hear_row(kept("!probe echo one", id=str(number)), row)
    await bench.settle()

    assert ["one"] == probe.ran


async def test_a_link_seen_in_a_room_is_burnt_on_such_a_network_too(bench: Bench, room: Channel) -> None:
    """A69: it is no command, and yet it leads to something."""
    await bench.say("!link demo")
    deliver = bench.core.dispatcher.deliver("fake")
    await deliver([kept(f"look: {bench.link_for()}", GRACE, channel=room)], "s1")
    await bench.settle()

    assert [{"state": "refused", "reason": "seen"}] == await bench.rows("SELECT state, reason FROM flows")


async def test_a_link_in_an_edit_is_burnt_on_such_a_network_too(bench: Bench, room: Channel) -> None:
    """A69: others read it, whatever else an edit may not do."""
    await bench.say("!link demo")
    deliver = bench.core.dispatcher.deliver("fake")
    await deliver([kept(f"look: {bench.link_for()}", GRACE, channel=room, edit=True)], "s1")
    await bench.settle()

    assert [{"state": "refused", "reason": "seen"}] == await bench.rows("SELECT state, reason FROM flows")
    assert [] == await bench.rows("SELECT * FROM waiting")


async def test_what_is_recovered_while_it_is_delivered_begins_once(bench: Bench, probe: Probe) -> None:
    """Neither twice nor never."""
    await bench.network.hear("!probe slow first", ADA)
    await probe.begun.wait()
    message = kept("!probe echo one", channel=bench.network.dm(ADA))
    await bench.core.dispatcher.deliver("fake")([message], "s1")
    await bench.core.dispatcher.recover("fake")
    left = len(await bench.core.intake.left("fake"))
    probe.gate.set()
    await bench.settle()

    assert 1 == left
    assert ["first", "one"] == probe.ran
    assert [] == await bench.rows("SELECT * FROM waiting")


async def test_an_answer_is_heard_on_such_a_network_too(bench: Bench, room: Channel) -> None:
    """While a question waits, any words may be its answer."""
    await bench.say("!probe ask", channel=room)
    await bench.core.dispatcher.deliver("fake")([kept("me", channel=room)], "s1")
    await bench.settle()

    assert "you said: me" == texts(bench)[-1]


@pytest.mark.parametrize("text", ["KXQW-MNHZ", "kxqw mnhz", "!KXQWMNHZ"])
async def test_a_code_said_alone_is_pointed_to_confirm(bench: Bench, text: str) -> None:
    """In private, where it may be said; a word that only looks so is not mistaken for one."""
    assert ["If that is the code of a link, say `!confirm` and then the code."] == await bench.say(text)
    assert "I do not know that" in (await bench.say("!kite-sail"))[0]
