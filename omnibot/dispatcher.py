"""From a message to a command, and from an outcome to words.

Every message of every network comes through `Dispatcher.hear`.  Here, and only here, it is
decided whether it is a command at all; here, and only here, an error becomes words.  Each
command runs in a task of its own; the commands of one speaker run in the order they came,
and a command that waits for an answer lets the next one start.
"""

import asyncio
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from omnibot.adapter import Deliver
from omnibot.command import Call, Command
from omnibot.errors import AddressRefused, NotLinked, OmnibotError, UserError, VaultError
from omnibot.identity import Identity, Speaker
from omnibot.intake import Intake
from omnibot.linking.beginning import Beginning
from omnibot.linking.confirming import Confirming
from omnibot.markup import code as code_span
from omnibot.markup import escape
from omnibot.message import STALE_AFTER, Message, Reply, unquoted, why_deaf
from omnibot.provider import Instance
from omnibot.turn import Cancelled, Dialogs, Missing, Services, Turn

log = logging.getLogger(__name__)

_MOST_TURNS = 2000
_MOST_WAITING = 20
_REMEMBERED = 4096
_HELP = frozenset({"--help", "-h"})


class Lane:
    """One speaker's order: who holds it runs, the others wait in the order they came."""

    __slots__ = ("lock", "users")

    def __init__(self) -> None:
        """Nobody runs."""
        self.lock = asyncio.Lock()
        self.users = 0

    async def take(self) -> None:
        """Wait for the place."""
        await self.lock.acquire()

    def give_up(self) -> None:
        """Let the next one start."""
        self.lock.release()


class Seen:
    """The ids of the latest messages of each network, for those that deliver one twice (A30)."""

    def __init__(self, most: int = _REMEMBERED) -> None:
        """Remember *most* ids over all networks."""
        self._most = most
        self._ids: OrderedDict[tuple[str, str], None] = OrderedDict()

    def again(self, message: Message) -> bool:
        """Whether *message* was here before; it is remembered now."""
        key = (message.network, message.id)
        if key in self._ids:
            return True
        self._ids[key] = None
        if len(self._ids) > self._most:
            self._ids.popitem(last=False)
        return False


class Dispatcher:
    """Hears everything, runs commands, answers."""

    def __init__(
        self,
        services: Services,
        beginning: Beginning,
        confirming: Confirming,
        intake: Intake,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Work with *services*; begin links with *beginning*, let *confirming* see what is said of them."""
        self._services = services
        self._beginning = beginning
        self._confirming = confirming
        self._intake = intake
        self._clock = clock
        self._dialogs = Dialogs()
        self._seen = Seen()
        self._lanes: dict[Speaker, Lane] = {}
        self._cooling: dict[tuple[Speaker, tuple[str, ...]], float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._asking = 0
        self._room = asyncio.Event()
        self._room.set()
        self._quiet = asyncio.Event()
        self._quiet.set()

    # -- hearing -----------------------------------------------------------------------

    def deliver(self, network: str) -> Deliver:
        """Return what the adapter of *network* calls with what it heard."""

        async def take(messages: Sequence[Message], position: str | None = None) -> None:
            rows: Sequence[str | None] = [None] * len(messages)
            if position is not None:
                messages = [one for one in messages if self._leads_somewhere(one)]
                rows = await self._intake.accept(network, messages, position)
            for message, row in zip(messages, rows, strict=True):
                await self._room.wait()
                await self._hear_once(message, row)

        return take

    async def recover(self, network: str) -> None:
        """Hear what *network* handed over before a restart and never started; what is too old is not run."""
        for row, message in await self._intake.left(network):
            if self._clock() - message.at > STALE_AFTER and isinstance(message.speaker, Identity):
                text = f"I was restarted before I could run {code_span(message.text)}. It was not run: say it again."
                await self._services.delivery.to_identity(message.speaker, Reply(text))
            await self._hear_once(message, row)

    async def _hear_once(self, message: Message, row: str | None) -> None:
        """Hear *message*; its *row* goes just before what it leads to begins."""
        if row is None or await self._intake.start(row):
            self.hear(message)

    def _leads_somewhere(self, message: Message) -> bool:
        if why_deaf(message, self._clock()) is not None:
            return False
        ours = self._confirming.carries_ticket(message.text) or self._confirming.looks_pasted(message.text)
        return ours or bool(self._line(message)[0] or self._dialogs)

    def hear(self, message: Message) -> None:
        """Take one message; what it leads to happens in a task of its own."""
        reason = why_deaf(message, self._clock())
        if reason is not None or self._seen.again(message):
            log.debug("not listening on %s: %s", message.network, reason or "said before")
            return
        text = message.text
        if self._confirming.carries_ticket(text):
            self._spawn(self._spotted(message), "a link in a room")
        if message.channel.private and isinstance(message.speaker, Identity):
            self._notices(message, message.speaker)
        if self._confirming.looks_pasted(text):
            self._in_order(message, self._pasted(message), "a pasted address")
            return
        line, is_command = self._line(message)
        if self._dialogs and self._answers(message, is_command):
            return
        if line:
            self._command(message, line, sure=is_command or message.addressed)

    async def resume(self, message: Message) -> None:
        """Run the command that waited for a link, checked afresh: membership here, the rest when it starts (A48)."""
        channel, speaker = message.channel, message.speaker
        assert isinstance(speaker, Identity), "only an identity's command is parked"
        adapter = self._services.delivery.adapter(message.network)
        if not channel.private and (adapter is None or not await adapter.present(speaker, channel)):
            text = f"You are no longer in {escape(str(channel))}: {code_span(message.text)} was not run."
            await self._services.delivery.to_identity(speaker, Reply(text))
            return
        line, _ = self._line(message)
        self._command(message, line, sure=True, again=True)

    def _line(self, message: Message) -> tuple[str, bool]:
        """Return the words meant for the bot, the prefix taken off, and whether a prefix was there."""
        text = unquoted(message.text).strip()
        prefix = self._services.prefix
        if text.startswith(prefix) and not text[len(prefix) :].startswith(prefix):
            return text[len(prefix) :].strip(), True
        return (text, False) if message.addressed or message.channel.private else ("", False)

    def _answers(self, message: Message, is_command: bool) -> bool:
        if is_command:
            self._dialogs.cancel(message)
            return False
        return self._dialogs.offer(message)

    def _notices(self, message: Message, identity: Identity) -> None:
        if self._services.delivery.keeps_for(identity):
            self._spawn(self._services.delivery.give_notices(message, identity), "notices")

    # -- starting ----------------------------------------------------------------------

    def _command(self, message: Message, line: str, *, sure: bool, again: bool = False) -> None:
        """Start what *line* names; *again* is for a command that waited, and began its cooldown when it was said."""
        call = self._services.book.find(line)
        if call is None:
            self._unknown(message, line, sure=sure)
        elif call.rest.strip() in _HELP:
            self._say(message, self._help(call.command))
        elif again or self._cooled(message, call.command):
            self._in_order(message, self._turn(message, call), call.command.name)

    def _unknown(self, message: Message, line: str, *, sure: bool) -> None:
        """Offer what may have been meant; say nothing in a room where the words may be another bot's."""
        book, prefix = self._services.book, self._services.prefix
        offered = book.below(line)
        quiet = not (message.addressed or message.channel.private)
        if offered:
            lines = [f"- `{one.usage(prefix)}`: {escape(one.summary)}" for one in offered[:25]]
            self._say(message, "\n".join(lines))
            return
        nearest = [] if quiet and not book.below(line.split()[0]) else book.nearest(line)
        if nearest:
            names = " or ".join(f"`{prefix}{name}`" for name in nearest)
            self._say(message, f"I do not know that. Did you mean {names}?")
        elif not quiet and sure:
            self._say(message, f"I do not know that. `{prefix}help` lists what I can do.")

    def _help(self, command: Command) -> str:
        lines = [f"`{command.usage(self._services.prefix)}`", f"{command.summary}.", command.details]
        lines += [f"- `{one.usage}`: {one.description}" for one in command.parameters if one.description]
        return "\n".join(line for line in lines if line)

    def _cooled(self, message: Message, command: Command) -> bool:
        if not command.cooldown:
            return True
        now = time.monotonic()
        key = (message.speaker, command.path)
        until = self._cooling.get(key, 0.0)
        if now < until:
            self._say(message, f"Not so fast: `{command.name}` again in {until - now:.0f} seconds.")
            return False
        if len(self._cooling) > _REMEMBERED:
            self._cooling = {one: when for one, when in self._cooling.items() if when > now}
        self._cooling[key] = now + command.cooldown
        return True

    def _in_order(self, message: Message, work: Callable[[Lane], Coroutine[Any, Any, None]], name: str) -> None:
        lane = self._lanes.get(message.speaker)
        if lane is None:
            lane = self._lanes[message.speaker] = Lane()
        if lane.users >= _MOST_WAITING:
            self._say(message, "You have many commands waiting. Let them finish first.")
            return
        lane.users += 1
        self._spawn(self._in_lane(message.speaker, lane, work), f"{name} on {message.network}")

    async def _in_lane(self, speaker: Speaker, lane: Lane, work: Callable[[Lane], Coroutine[Any, Any, None]]) -> None:
        try:
            async with lane.lock:
                await work(lane)
        finally:
            lane.users -= 1
            if not lane.users:
                self._lanes.pop(speaker, None)

    def _turn(self, message: Message, call: Call) -> Callable[[Lane], Coroutine[Any, Any, None]]:
        def start(lane: Lane) -> Coroutine[Any, Any, None]:
            place = _Counted(lane, self)
            return self._guarded(Turn(self._services, message, call, self._dialogs, place, self._later))

        return start

    def _pasted(self, message: Message) -> Callable[[Lane], Coroutine[Any, Any, None]]:
        def start(lane: Lane) -> Coroutine[Any, Any, None]:
            return self._take_paste(message)

        return start

    # -- running -----------------------------------------------------------------------

    async def _guarded(self, turn: Turn) -> None:
        """Run *turn*; whatever happens in it becomes words for its speaker, and a line in the audit."""
        outcome = "done"
        try:
            await turn.run()
        except Missing as missing:
            outcome = "not linked"
            await self._link_first(turn, missing)
        except NotLinked as error:
            outcome = "no longer linked"
            await self._link_again(turn, error)
        except Exception as error:  # noqa: BLE001 - whatever a handler raises becomes words here
            outcome = type(error).__name__
            await turn.answer(self._words(turn.call.command, error))
        if turn.call.command.linked and isinstance(turn.message.speaker, Identity):
            await self._record(turn, turn.message.speaker, outcome)

    def _words(self, command: Command, error: Exception) -> str:
        """Return what the speaker is told of *error*; what they are not told is logged under a reference."""
        if isinstance(error, Cancelled):
            return f"`{command.name}` is cancelled."
        if isinstance(error, UserError | AddressRefused):  # its sentence is written for whoever named the address
            return str(error)
        if isinstance(error, TimeoutError):
            return f"`{command.name}` took too long and was stopped."
        reference = secrets.token_hex(2).upper()
        if isinstance(error, VaultError):
            log.error("[%s] the vault refused in %s: %s", reference, command.name, error)
            self._services.audit.record(
                "",
                "",
                "vault.refused",
                command=command.name,
                table=getattr(error, "table", ""),
                why=type(error).__name__,
            )
            return f"I cannot use linked accounts just now; tell my operator (ref {reference})."
        if isinstance(error, OmnibotError):
            log.error("[%s] %s failed: %s: %s", reference, command.name, type(error).__name__, error)
        else:
            log.error("[%s] %s failed", reference, command.name, exc_info=error)
        return f"Something broke (ref {reference})."

    async def _link_first(self, turn: Turn, missing: Missing) -> None:
        """Park the command and send its speaker a private link."""
        name, title = turn.call.command.name, escape(missing.instance.title)
        before = f"`{name}` needs more rights at {title} than you gave." if missing.more else ""
        await self._begin(turn, missing.instance, missing.scopes, parked=True, why=before)

    async def _link_again(self, turn: Turn, error: NotLinked) -> None:
        """Send a new link for an account that stopped working; the command is parked only if it changed nothing."""
        changes = turn.journal.changes
        before = str(error)
        if changes:
            done = ", ".join(map(escape, changes))
            before += f" Before that, `{turn.call.command.name}` had done this, so I will not run it again: {done}."
        try:
            instance = self._services.instances.get(error.provider, error.instance or None)
        except UserError as unknown:
            await turn.answer(str(unknown))
            return
        await self._begin(turn, instance, turn.call.command.scopes, parked=not changes, why=before)

    async def _begin(self, turn: Turn, instance: Instance, scopes: Sequence[str], *, parked: bool, why: str) -> None:
        message, command = turn.message, turn.call.command
        assert isinstance(message.speaker, Identity), "policy lets only identities use a linked command"
        try:
            said = await self._beginning.begin(
                message.speaker, instance, message, scopes=scopes, command=command.name, why=why, parked=parked
            )
        except Exception as error:  # noqa: BLE001 - it becomes words here, as every error does
            said = self._words(command, error)
        if said:
            await self._services.delivery.to_channel(message.channel, Reply(said, answers=message))

    async def _take_paste(self, message: Message) -> None:
        if not isinstance(message.speaker, Identity):
            return
        if not message.channel.private:
            adapter = self._services.delivery.adapter(message.network)
            if adapter is not None:
                await adapter.retract(message)
        try:
            said = await self._services.desk(message, message.speaker, self._later).paste()
        except UserError as error:
            said = str(error)
        except Exception as error:  # noqa: BLE001 - it becomes words here, as every error does
            said = self._words(_PASTE, error)
        await self._services.delivery.to_identity(message.speaker, Reply(said), near=message)

    async def _spotted(self, message: Message) -> None:
        if await self._confirming.spot(message):
            text = "That was a private link of mine, meant for one person: it is burnt now. Never pass such links on."
            await self._services.delivery.to_channel(message.channel, Reply(text, answers=message))

    async def _record(self, turn: Turn, identity: Identity, outcome: str) -> None:
        try:
            profile = await self._services.people.find(identity)
        except VaultError:
            return  # refused, said and recorded before
        if profile is not None:
            command = turn.call.command
            self._services.audit.record(
                profile.person,
                identity.network,
                "command",
                command=command.name,
                outcome=outcome,
                requests=turn.journal.requests,
                changes=len(turn.journal.changes),
            )

    def _say(self, message: Message, text: str) -> None:
        self._later(self._tell(message, text))

    async def _tell(self, message: Message, text: str) -> None:
        await self._services.delivery.to_channel(message.channel, Reply(text, answers=message))

    # -- tasks -------------------------------------------------------------------------

    def run_aside(self, work: Awaitable[None], name: str) -> None:
        """Let *work* run beside the commands; `settle` and `close` wait for it as for one of them."""
        self._spawn(work, name)

    def _later(self, work: Awaitable[None]) -> None:
        self._spawn(work, "an answer")

    def _spawn(self, work: Awaitable[None], name: str) -> None:
        task = asyncio.create_task(_as_coroutine(work), name=name)
        self._tasks.add(task)
        self._quiet.clear()
        if len(self._tasks) >= _MOST_TURNS:
            self._room.clear()
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.set()
        self._look_quiet()
        if not task.cancelled() and task.exception() is not None:
            log.error("the task %s failed", task.get_name(), exc_info=task.exception())

    def waits(self, by: int) -> None:
        """Note that a turn began (1) or ended (-1) to wait for somebody's answer."""
        self._asking += by
        self._look_quiet()

    def _look_quiet(self) -> None:
        if len(self._tasks) <= self._asking:
            self._quiet.set()
        else:
            self._quiet.clear()

    async def settle(self) -> None:
        """Return when nothing is under way but questions that wait for an answer."""
        await self._quiet.wait()

    async def close(self, grace: float = 5.0) -> None:
        """Let what runs end within *grace* seconds; cancel the rest."""
        try:
            async with asyncio.timeout(grace):
                await self.settle()
        except TimeoutError:
            log.warning("%s commands did not end in time and are stopped", len(self._tasks))
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class _Counted:
    """A lane's place that tells the dispatcher when its holder waits for an answer."""

    __slots__ = ("_dispatcher", "_lane")

    def __init__(self, lane: Lane, dispatcher: Dispatcher) -> None:
        self._lane = lane
        self._dispatcher = dispatcher

    async def take(self) -> None:
        self._dispatcher.waits(-1)
        await self._lane.take()

    def give_up(self) -> None:
        self._dispatcher.waits(1)
        self._lane.give_up()


_PASTE = Command(("paste",), "accounts", lambda: None, "Take a pasted address")


async def _as_coroutine(work: Awaitable[None]) -> None:
    await work
