"""From a message to a command, and from an outcome to words.

Every message of every network comes through `Dispatcher.hear`.  Here, and only here, it is
decided whether it is a command at all; here, and only here, an error becomes words.  Each
command runs in a task of its own; the commands of one speaker run in the order they came,
and a command that waits for an answer lets the next one start.
"""

import asyncio
import logging
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from omnibot import accounts
from omnibot.adapter import Deliver
from omnibot.command import Call, Command, holds_secret
from omnibot.dialogs import Cancelled, Dialogs
from omnibot.errors import (
    AddressRefused,
    Denied,
    NotLinked,
    OmnibotError,
    StorageTrouble,
    Upstream,
    UserError,
    VaultError,
)
from omnibot.identity import Assurance, Identity, Speaker
from omnibot.intake import Intake
from omnibot.limits import Refusal
from omnibot.linking.beginning import Beginning
from omnibot.linking.confirming import Confirming
from omnibot.markup import code as code_span
from omnibot.markup import escape
from omnibot.message import STALE_AFTER, Channel, Message, Origin, Reply, unquoted, why_deaf
from omnibot.provider import Instance
from omnibot.runner import Place, Runner, Start
from omnibot.skill import Context
from omnibot.turn import Missing, Services, Turn

log = logging.getLogger(__name__)

_REMEMBERED = 4096
_CODE = re.compile(r"[B-DF-HJ-NP-TV-XZ]{4}[- ]?[B-DF-HJ-NP-TV-XZ]{4}", re.IGNORECASE)
"""What may be a code that a browser shows (`omnibot.linking.flows.CODE_ALPHABET`)."""

_STORAGE_PAUSES = (1.0, 2.0, 5.0, 10.0)
"""Seconds between tries to keep what a redelivering network handed over."""

_KINDS: tuple[tuple[type[BaseException], str], ...] = (
    (Denied, "denied"),
    (Upstream, "upstream"),
    (AddressRefused, "user_error"),
    (UserError, "user_error"),
    (StorageTrouble, "storage"),
    (VaultError, "vault"),
    (TimeoutError, "timeout"),
)

_HELP = frozenset({"--help", "-h"})
_ALWAYS = frozenset({("confirm",), ("undo",), ("unlink",)})
"""Commands that are not held up by what others ask in the channel: they end what somebody may be waiting to end."""

_LONGEST_GUESSED = 200
"""Characters of a line that names no command in which one is looked for."""

_SEEN = "I take no keys or passwords where others read them. Rotate that one: it has been seen."


class Seen:
    """The ids of the latest messages of each network, for those that deliver one twice (A30)."""

    def __init__(self, most: int = _REMEMBERED) -> None:
        """Remember *most* ids of each network: a flood on one forgets nothing of another."""
        self._most = most
        self._ids: dict[str, OrderedDict[str, None]] = {}

    def again(self, message: Message) -> bool:
        """Whether *message* was here before; it is remembered now."""
        ids = self._ids.setdefault(message.network, OrderedDict())
        if message.id in ids:
            return True
        ids[message.id] = None
        if len(ids) > self._most:
            ids.popitem(last=False)
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
        since: float = 0.0,
    ) -> None:
        """Work with *services*; begin links with *beginning*, let *confirming* see what is said of them.

        What was said before *since*, in Unix seconds, is not heard: a backup was restored then.
        """
        self._services = services
        self._beginning = beginning
        self._confirming = confirming
        self._intake = intake
        self._clock = clock
        self._since = since
        self._dialogs = Dialogs()
        self._seen = Seen()
        self._told_of_trouble = Seen()
        self._rows: set[str] = set()
        self._runner = Runner()
        self._cooling: dict[tuple[Speaker, tuple[str, ...]], float] = {}

    # -- hearing -----------------------------------------------------------------------

    def deliver(self, network: str) -> Deliver:
        """Return what the adapter of *network* calls with what it heard."""

        async def take(messages: Sequence[Message], position: str | None = None) -> None:
            self._services.tally.messages.add(network, by=len(messages))
            rows: Sequence[str | None] = [None] * len(messages)
            if position is not None:
                messages = [one for one in messages if self._leads_somewhere(one)]
                exposing = [self._exposes(one) for one in messages]
                kept = [one for one, exposes in zip(messages, exposing, strict=True) if not exposes]
                accepted = iter(await self._accepted(network, kept, position))
                rows = [None if exposes else next(accepted) for exposes in exposing]
            for message, row in zip(messages, rows, strict=True):
                await self._runner.room(network)
                self._hear_row(message, row)

        return take

    async def _accepted(self, network: str, kept: Sequence[Message], position: str) -> list[str | None]:
        """Keep what *network* handed over, however long that takes: before, nothing of it is acknowledged.

        The network gives it again if this process ends meanwhile.  Who speaks is told once why nothing happens.
        """
        pauses = iter(_STORAGE_PAUSES)
        while True:
            try:
                return await self._intake.accept(network, kept, position)
            except StorageTrouble as trouble:
                for message in kept:
                    if not self._told_of_trouble.again(message):
                        self._say(message, f"{trouble.said} I have not begun {code_span(self._quotable(message))}.")
            await asyncio.sleep(next(pauses, _STORAGE_PAUSES[-1]))

    async def recover(self, network: str) -> None:
        """Hear what *network* handed over before a restart and never started; what is too old is not run."""
        for row, message, accepted in await self._intake.left(network):
            if self._clock() - accepted <= STALE_AFTER:
                self._hear_row(message, row)
            elif await self._intake.start(row) and isinstance(message.speaker, Identity):
                said = code_span(self._quotable(message))
                text = f"I was restarted before I could run {said}. It was not run: say it again."
                await self._services.delivery.to_identity(message.speaker, Reply(text))

    def _hear_row(self, message: Message, row: str | None) -> None:
        """Hear *message*; its *row* goes when what it leads to begins, or now if it leads to nothing more."""
        if row is not None and row in self._rows:
            return  # delivered while `recover` read it: it begins once, and its row is not dropped
        start = None
        if row is not None:
            self._rows.add(row)
            start = partial(self._starts, row, message)
        if not self.hear(message, start) and start is not None:
            self._runner.spawn(_dropped(start), "an accepted message", message.network)

    async def _starts(self, row: str, message: Message) -> bool:
        try:
            started = await self._intake.start(row)
        except StorageTrouble as trouble:  # that it started could not be written: after a crash it would start again
            self._say(message, trouble.said)
            return False
        self._rows.discard(row)
        return started

    def _exposes(self, message: Message) -> bool:
        """Whether *message* says a secret where others read it: then it is never written down (A52)."""
        return not message.channel.private and self._secretive(message) is not None

    def _secretive(self, message: Message) -> Command | None:
        call = self._services.book.find(self._line(message)[0])
        return call.command if call is not None and holds_secret(call) else None

    def _quotable(self, message: Message) -> str:
        """Return the text of *message* as it may be repeated: of one that says a secret, the command alone."""
        command = self._secretive(message)
        return message.text if command is None else f"{self._services.prefix}{command.name}"

    def _leads_somewhere(self, message: Message) -> bool:
        if message.origin is not Origin.SELF and self._confirming.carries_ticket(message):
            return True  # also in an edit (A69)
        if self._why_deaf(message) is not None:
            return False
        return self._confirming.looks_pasted(message.text) or bool(self._line(message)[0] or self._dialogs)

    def _why_deaf(self, message: Message) -> str | None:
        return "said before a backup was restored" if message.at < self._since else why_deaf(message, self._clock())

    def hear(self, message: Message, start: Start | None = None) -> bool:
        """Take one message; return whether a command of it will begin, which calls *start* when its turn has come."""
        text = message.text
        if message.origin is not Origin.SELF and self._confirming.carries_ticket(message):  # also in an edit (A69)
            self._aside(message, self._spotted(message), "a link of ours")
        reason = self._why_deaf(message)
        if reason is not None or self._seen.again(message):
            log.debug("not listening on %s: %s", message.network, reason or "said before")
            return False
        if message.channel.private and isinstance(message.speaker, Identity):
            self._notices(message, message.speaker)
        if self._confirming.looks_pasted(text):
            if message.channel.private and not self._within_limits(message, alone=True):
                return False
            return self._in_order(message, partial(self._take_paste, message), "a pasted address", start)
        if message.picks:
            return self._picked(message)
        line, is_command = self._line(message)
        if self._dialogs and self._answers(message, is_command):
            return False
        return bool(line) and self._command(message, line, start, sure=is_command or message.addressed)

    async def resume(self, message: Message, start: Start) -> None:
        """Run the command that waited for a link, checked afresh: membership here, the rest when it starts (A48).

        *start* is called when its turn has come, and no other time.
        """
        channel, speaker = message.channel, message.speaker
        assert isinstance(speaker, Identity), "only an identity's command is parked"
        if not channel.private and not await self._services.delivery.present(speaker, channel):
            if await start():
                text = f"You are no longer in {escape(str(channel))}: {code_span(message.text)} was not run."
                await self._services.delivery.to_identity(speaker, Reply(text))
            return
        line, _ = self._line(message)
        self._command(message, line, start, sure=True, again=True)

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
        words = unquoted(message.text).strip()
        return bool(words) and self._dialogs.offer(replace(message, text=words))

    def _picked(self, message: Message) -> bool:
        """Take *message*, which picks a choice, as the answer to its question; it is never a command."""
        if not self._dialogs.offer(message) and self._within_limits(message, alone=True):
            self._say(message, "That question is no longer open.")
        return False

    def _notices(self, message: Message, identity: Identity) -> None:
        if self._services.delivery.keeps_for(identity) and self._services.policy.trusts(identity.network):
            self._aside(message, self._services.delivery.give_notices(message, identity), "notices")

    # -- starting ----------------------------------------------------------------------

    def _command(self, message: Message, line: str, start: Start | None, *, sure: bool, again: bool = False) -> bool:
        """Begin what *line* names; *again* is for a command that waited, and began its cooldown when it was said."""
        call = self._services.book.find(line)
        if call is None:
            self._guess(message, line, sure=sure)
            return False
        command = call.command
        if not message.channel.private and holds_secret(call):
            refusal = self._services.limits.take(message, command, alone=True)
            self._aside(message, self._exposed(message, refusal), "a secret said in public")
            return False
        decision = self._services.policy.decide(message.speaker, message.assurance, command, message.channel)
        if not again and not self._within_limits(message, command, alone=not decision.allowed):
            return False
        if call.rest.strip() in _HELP:
            self._say(message, decision.why if decision.hidden else self._help(command))
        elif again or not decision.allowed or self._cooled(message, command):
            return self._in_order(message, partial(self._run, message, call), command.name, start)
        return False

    def _guess(self, message: Message, line: str, *, sure: bool) -> None:
        """Answer what names no command; to look for what was meant takes time, so it is begun within limits only."""
        alone = self._is_exempt(message)
        if self._services.limits.spent(message, alone=alone):
            if message.addressed or message.channel.private:  # else the words may be another bot's
                self._within_limits(message)
            return
        text = self._unknown(message, line[:_LONGEST_GUESSED], sure=sure)
        if text and self._within_limits(message):
            self._say(message, text)

    def _unknown(self, message: Message, line: str, *, sure: bool) -> str:
        """Offer what may have been meant; return nothing in a room where the words may be another bot's."""
        book, prefix = self._services.book, self._services.prefix
        *words, last = line.split()
        offered = self._spoken_of(message, book.below(" ".join(words) if words and last in _HELP else line))
        quiet = not (message.addressed or message.channel.private)
        if offered:
            return "\n".join(f"- `{one.usage(prefix)}`: {escape(one.summary)}" for one in offered[:25])
        if quiet and not self._spoken_of(message, book.below(line.split()[0])):
            return ""
        nearest = book.nearest(line, self._spoken_of(message, book))
        if nearest:
            names = " or ".join(f"`{prefix}{name}`" for name in nearest)
            return f"I do not know that. Did you mean {names}?"
        if not quiet and _CODE.fullmatch(line.strip()):
            return f"If that is the code of a link, say `{prefix}confirm` and then the code."
        return f"I do not know that. `{prefix}help` lists what I can do." if not quiet and sure else ""

    def _spoken_of(self, message: Message, commands: Iterable[Command]) -> list[Command]:
        """Return those of *commands* that the operator does not keep from the speaker of *message* there."""
        who, hides = (message.speaker, message.assurance), self._services.policy.hides
        return [one for one in commands if not hides(*who, one, message.channel)]

    def _is_exempt(self, message: Message, command: Command | None = None) -> bool:
        """Whether *message* has not to wait until a flood in its channel is over: it may be what ends one."""
        if message.channel.private or (command is not None and command.path in _ALWAYS):
            return True
        speaker, policy = message.speaker, self._services.policy
        return isinstance(speaker, Identity) and policy.is_admin(speaker) and policy.trusts(speaker.network)

    def _within_limits(self, message: Message, command: Command | None = None, *, alone: bool = False) -> bool:
        """Whether *message* may begin *command*, or be answered; else its speaker is told, once.

        *alone*: it takes of what is its speaker's only, and nothing of its channel's.
        """
        alone = alone or self._is_exempt(message, command)
        refusal = self._services.limits.take(message, command, alone=alone)
        if refusal is not None and refusal.words:
            self._say(message, refusal.words)
        return refusal is None

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

    def warm(self, skill: str) -> None:
        """Forget when somebody last used the commands of *skill*: they are not the ones they were."""
        here = {one.path for one in self._services.book if one.skill == skill}
        self._cooling = {one: when for one, when in self._cooling.items() if one[1] not in here}

    def _in_order(
        self,
        message: Message,
        work: Callable[[Place], Coroutine[Any, Any, None]],
        name: str,
        start: Start | None,
    ) -> bool:
        will = self._runner.in_order(message.speaker, work, f"{name} on {message.network}", start)
        if will is None:
            self._say(message, "You have many commands waiting. Let them finish first.")
        return bool(will)

    def _run(self, message: Message, call: Call, place: Place) -> Coroutine[Any, Any, None]:
        return self._guarded(self._turn(message, call, place))

    def _turn(self, message: Message, call: Call, place: Place) -> Turn:
        later = partial(self._aside, message, name="what comes after")
        return Turn(self._services, message, call, self._dialogs, place, later)

    # -- running -----------------------------------------------------------------------

    async def _guarded(self, turn: Turn) -> None:
        """Run *turn*; whatever happens in it becomes words for its speaker, and a line in the audit."""
        outcome, counted, began = "done", "done", time.perf_counter()
        try:
            await turn.run()
        except Missing as missing:
            outcome, counted = "not linked", "not_linked"
            name, title = turn.call.command.name, escape(missing.instance.title)
            lacks = escape(", ".join(missing.more))
            why = f"`{name}` needs more rights at {title} than you gave: {lacks}." if lacks else ""
            await self._link(turn, missing.instance, missing.scopes, why)
        except NotLinked as error:
            outcome, counted = "no longer linked", "not_linked"
            await self._link_again(turn, error)
        except Cancelled:
            outcome = counted = "cancelled"
            await turn.answer(f"`{turn.call.command.name}` is cancelled.")
        except BaseExceptionGroup as group:  # of a TaskGroup in which something was asked, or failed
            cancelled, others = group.split(Cancelled)
            outcome = "cancelled" if cancelled and not others else type(group).__name__
            counted = "cancelled" if outcome == "cancelled" else "failed"
            words = f"`{turn.call.command.name}` is cancelled."
            await turn.answer(words if outcome == "cancelled" else self._words(turn.call.command, group))
        except BaseException as error:  # SystemExit of a handler would end the bot
            if isinstance(error, KeyboardInterrupt | GeneratorExit):
                raise
            if _stopped(error):  # with the bot: what was done until then was done as them
                counted = "stopped"
                await self._note(turn, "stopped")
                raise
            outcome, counted = type(error).__name__, _kind(error)
            await turn.answer(self._words(turn.call.command, error))
        finally:
            self._count(turn.call.command, counted, time.perf_counter() - began)
        await self._note(turn, outcome)

    def _count(self, command: Command, outcome: str, seconds: float) -> None:
        tally = self._services.tally
        tally.commands.add(command.skill, command.name, outcome)
        tally.command_seconds.add(seconds, command.skill)

    async def _note(self, turn: Turn, outcome: str) -> None:
        """Put *turn* on record, if it acted as its speaker, was to, or was refused."""
        command = turn.call.command
        acted = command.linked or turn.acts_as or turn.journal.requests or outcome == Denied.__name__
        if acted and isinstance(turn.message.speaker, Identity):
            await self._record(turn, turn.message.speaker, outcome)

    def _words(self, command: Command, error: BaseException) -> str:
        """Return what the speaker is told of *error*; what they are not told is logged under a reference."""
        if isinstance(error, UserError | AddressRefused):  # its sentence is written for whoever named the address
            return str(error)
        if isinstance(error, StorageTrouble):
            return error.said  # the operator's line was written where it happened (`omnibot.database`)
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

    async def _link_again(self, turn: Turn, error: NotLinked) -> None:
        """Send a new link for an account that stopped working."""
        try:
            instance = self._services.instances.get(error.provider, error.instance or None)
        except UserError as unknown:
            await turn.answer(str(unknown))
            return
        wanted = turn.call.command.scopes_of(instance.provider.name)
        scopes = (*await self._scopes_there(turn.message, instance), *wanted)
        await self._link(turn, instance, scopes, str(error))

    async def _scopes_there(self, message: Message, instance: Instance) -> tuple[str, ...]:
        """Return what the account that stopped working could do: its successor is asked for as much."""
        assert isinstance(message.speaker, Identity), "policy lets only identities use a linked command"
        try:
            profile = await self._services.people.find(message.speaker)
        except VaultError:
            return ()  # refused, said and recorded when the link is begun
        found = profile.accounts if profile else ()
        return accounts.scopes_there(found, message.speaker, instance.provider.name, instance.name)

    async def _link(self, turn: Turn, instance: Instance, scopes: Sequence[str], why: str) -> None:
        """Send the turn's speaker a private link; park the command only if it has changed nothing yet."""
        message, command, changes = turn.message, turn.call.command, turn.journal.changes
        assert isinstance(message.speaker, Identity), "policy lets only identities use a linked command"
        if changes:
            done = ", ".join(map(escape, changes))
            why += f" Before that, `{command.name}` had done this, so I will not run it again: {done}."
        if refused := self._no_linking(message):
            title = escape(instance.title)
            await turn.answer(f"`{command.name}` needs your account at {title}, and you may not link one. {refused}")
            return
        try:
            said = await self._beginning.begin(
                message.speaker,
                instance,
                message,
                scopes=scopes,
                command=command.name,
                why=why.strip(),
                parked=not (changes or command.secret),
            )
        except Exception as error:  # noqa: BLE001 - it becomes words here, as every error does
            said = self._words(command, error)
        if said:
            await self._tell(message, said)

    def _no_linking(self, message: Message) -> str:
        """Return why the speaker of *message* may link nothing: in private, as links are; empty if they may."""
        link, private = self._services.book.find("link"), Channel(message.network, "(private)", private=True)
        if link is None:
            return ""
        return self._services.policy.decide(message.speaker, message.assurance, link.command, private).why

    async def _take_paste(self, message: Message, place: Place) -> None:
        if not isinstance(message.speaker, Identity) or not self._services.policy.trusts(message.network):
            return
        call = Call(_PASTE, "", "")
        if message.channel.private:
            await self._run(message, call, place)
        elif await self._confirming.knows_paste(message.text):  # and is not some other program's address
            await self._services.delivery.retract(message)
            await self._void_paste(self._turn(message, call, place), message.speaker)

    async def _void_paste(self, turn: Turn, speaker: Identity) -> None:
        """End the link whose address was pasted where others read it; its room hears nothing of it."""
        refusal = self._services.limits.take(turn.message, alone=True)
        try:
            said = await turn.desk.paste()
        except Exception as error:  # noqa: BLE001 - it becomes words here, as every error does
            said = self._words(turn.call.command, error)
        if refusal is None or (said := refusal.words):
            await self._services.delivery.to_identity(speaker, Reply(said), near=turn.message)

    async def _exposed(self, message: Message, refusal: Refusal | None) -> None:
        """Tell the speaker of *message* that others could read the secret in it; of the message nothing is kept.

        With a *refusal* they have been told often enough; it is removed, and voids what it has to, all the same.
        """
        gone = await self._services.delivery.retract(message)
        if refusal is not None:
            if isinstance(message.speaker, Identity):
                await self._confirming.exposed(message.speaker)
            if refusal.words:
                await self._tell(message, refusal.words)
            return
        where = escape(str(message.channel))
        removed = f"I have removed your message from {where}, but it" if gone else f"Delete it in {where}. It"
        command = self._secretive(message)
        passing = command is not None and command.secret == "code"  # noqa: S105 - a parameter's name
        what = "a one-time code" if passing else "a key or password"
        cure = (
            "wait until it is good no more, and take the next."
            if passing
            else "rotate it, that is, take it back at its service and make a new one."
        )
        text = (
            f"You said {what} where others can read it, and I have not taken it. {removed} may have been read: {cure} "
            "Say such things to me in private only."
        )
        if isinstance(message.speaker, Identity):
            await self._services.delivery.to_identity(message.speaker, Reply(text), near=message)
            await self._confirming.exposed(message.speaker)
        if not (gone and isinstance(message.speaker, Identity)):
            text = "I take no codes where others read them." if passing else _SEEN
            await self._services.delivery.to_channel(message.channel, Reply(text, answers=message))

    async def _spotted(self, message: Message) -> None:
        if await self._confirming.spot(message):
            text = "That was a private link of mine, meant for one person: it is burnt now. Never pass such links on."
            await self._services.delivery.to_channel(message.channel, Reply(text, answers=message))

    async def _record(self, turn: Turn, identity: Identity, outcome: str) -> None:
        try:
            profile = await self._services.people.find(identity)
        except (VaultError, StorageTrouble):
            return  # refused, said and recorded before
        command = turn.call.command
        if profile is not None or command.admin:  # a stranger's try is noted as well, and nothing of who it was
            self._services.audit.record(
                profile.person if profile is not None else "",
                identity.network,
                "command",
                command=command.name,
                skill=command.skill,
                outcome=outcome,
                requests=turn.journal.requests,
                changes=len(turn.journal.changes),
                upstream=turn.journal.references,
                **{"as": turn.acts_as},
            )

    def _say(self, message: Message, text: str) -> None:
        self._aside(message, self._tell(message, text), "an answer")

    async def _tell(self, message: Message, text: str) -> None:
        if self._services.policy.discreet(message.channel):
            if isinstance(message.speaker, Identity):
                await self._services.delivery.to_identity(message.speaker, Reply(text, answers=message), near=message)
                return
            text = "I can tell you that only in a private conversation."
        await self._services.delivery.to_channel(message.channel, Reply(text, answers=message))

    # -- tasks -------------------------------------------------------------------------

    def run_aside(self, work: Awaitable[None], name: str) -> None:
        """Let *work* run beside the commands; `settle` and `close` wait for it as for one of them."""
        self._runner.spawn(work, name)

    def _aside(self, message: Message, work: Awaitable[None], name: str) -> None:
        self._runner.spawn(work, name, message.network)

    async def settle(self) -> None:
        """Return when nothing is under way but questions that wait for an answer."""
        await self._runner.settle()

    async def close(self, grace: float = 5.0) -> None:
        """Let what runs end within *grace* seconds; cancel the rest."""
        await self._runner.close(grace)


async def _paste(ctx: Context) -> str:
    return await ctx.accounts.paste()


_PASTE = Command(("paste",), "accounts", _paste, answer="private", minimum=Assurance.ACCOUNT)
"""What an address that looks pasted is handled by; nobody says it by name."""


def _kind(error: BaseException) -> str:
    """Return what a command that ended with *error* is counted as: one of a few words, whatever a skill raises."""
    return next((word for kind, word in _KINDS if isinstance(error, kind)), "failed")


def _stopped(error: BaseException) -> bool:
    """Whether *error* is this task's own cancellation, not that of something a handler awaited."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


async def _dropped(start: Start) -> None:
    await start()
