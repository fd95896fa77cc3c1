"""When an account was registered, by the word of the network's services.

A services account that is dropped, or has lapsed, can be registered again by anybody.  The time of its
registration tells the two apart: it is the epoch of an identity.  NickServ is asked ``INFO account``; Atheme,
Anope and Ergo answer differently, and this is where they are read.

Whoever takes the nick NickServ while services are away could tell any time: an answer counts only from the
host that gave the first one, or that the operator named.
"""

import asyncio
import hashlib
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from logging import Logger

from adapters.irc.effects import Heard
from adapters.irc.lines import is_word
from adapters.irc.speech import strip_codes
from omnibot.adapter import Store
from omnibot.errors import VaultError
from omnibot.markup import printable

ANSWER_WITHIN = 5.0
"""Seconds that services have for an answer, from when the question went out."""

TURN_WITHIN = 10.0
"""Seconds to wait for an answer at most, with the questions before it and flood control."""

REST = 60.0
"""Seconds for which services are not asked again once they gave no answer."""

KEPT = 30 * 86400.0
"""Seconds for which it is remembered when an account was registered, from when services last told."""

_MOST_KEPT = 1000
_KEPT_ANEW = 86400.0
"""Seconds after which what is remembered already is written again, to be kept for longer."""

_SETTLE = 0.25
"""Seconds without another line after which an answer without an end is whole."""

_HEAD = re.compile(
    r"Information on (?P<nick>\S+?)(?: \(account (?P<account>\S+)\))?:?$"  # Atheme
    r"|Account: (?P<ergo>\S+)$"
    r"|(?P<anope>\S+) is "
)
_END = re.compile(r"\*\*\* End of Info \*\*\*|\S+ is(?: not|n't) (?:a )?registered\b")
_ACCOUNT = re.compile(r"\s*(?:User reg\.?|Account registered) *: (.+)", re.IGNORECASE)
_NICK = re.compile(r"\s*(?:Registered|Time registered|Registered at) *: (.+)", re.IGNORECASE)

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_CLOCK = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_DATES = (
    re.compile(rf"(?P<month>[A-Za-z]{{3}}) +(?P<day>\d\d?) {_CLOCK} (?P<year>\d{{4}})(?: (?P<zone>[+-]\d{{4}}))?"),
    re.compile(rf"(?P<day>\d\d?) (?P<month>[A-Za-z]{{3}}) (?P<year>\d{{4}}) {_CLOCK}(?: (?P<zone>[+-]\d{{4}}))?"),
)


def unix(date: str) -> str:
    """Return the Unix seconds of a *date* as services write it; empty where it is none.

    A zone that is a name is taken for UTC: it is the services' own, and the same each time.
    """
    found = next((found for pattern in _DATES if (found := pattern.search(date))), None)
    if found is None or found["month"].lower() not in _MONTHS:
        return ""
    zone = found["zone"] or "+0000"
    offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:])) * (-1 if zone[0] == "-" else 1)
    day = (int(found["year"]), _MONTHS.index(found["month"].lower()) + 1, int(found["day"]))
    clock = (int(found["hour"]), int(found["minute"]), int(found["second"]))
    try:
        return str(int(datetime(*day, *clock, tzinfo=timezone(offset) if offset else UTC).timestamp()))
    except (ValueError, OverflowError):
        return ""


class Answer:
    """What services say to one question, line by line."""

    def __init__(self, account: str, fold: Callable[[str], str]) -> None:
        """Wait for what is said of the folded *account*."""
        self.begun = False
        """Whether there was a line about the account."""

        self.whole = False
        self._account = account
        self._fold = fold
        self._ours = False
        """Whether the lines are about that account: the answer to an earlier question may come late."""

        self._of_account = ""
        self._of_nick = ""

    @property
    def when(self) -> str:
        """When the account was registered, Unix seconds; empty while that is not told.

        A nick of the account may have been registered later than the account itself.
        """
        return self._of_account or self._of_nick

    def take(self, text: str) -> None:
        """Take a line."""
        if (head := _HEAD.match(text)) is not None:
            name = head["account"] or head["nick"] or head["ergo"] or head["anope"]
            self._ours = self._fold(name) == self._account
            self.begun = self.begun or self._ours
        if not self._ours:
            return
        if (told := _ACCOUNT.match(text)) is not None:
            self._of_account = self._of_account or unix(told[1])
        elif (told := _NICK.match(text)) is not None:
            self._of_nick = self._of_nick or unix(told[1])
        self.whole = self.whole or bool(self._of_account) or _END.match(text) is not None


@dataclass(frozen=True, slots=True)
class Epoch:
    """When an account was registered."""

    value: str
    """Unix seconds; empty on a network whose services do not tell."""

    fresh: bool
    """Whether services said so just now, and it is not from memory."""


class Services:
    """Asks services, one question at a time, and remembers what they said."""

    def __init__(self, service: str, rows: Store, log: Logger, clock: Callable[[], float] = time.time) -> None:
        """Ask *service*, a nick or ``nick@host``; keep answers in *rows*, which nobody can have written but the bot.

        In *rows* there is, under ``epochs``, when each account was registered and until when that is kept, by a
        digest of its name; and under ``services`` the host that told.
        """
        self._clock = clock
        self._nick, _, self._host = service.partition("@")
        self._rows = rows
        self._log = log
        self._said: set[str] = set()
        self._one = asyncio.Lock()
        self._asking: dict[str, asyncio.Task[str | None]] = {}
        self._answer: Answer | None = None
        self._source = ""
        """The host that the answer which is under way comes from, or must come from."""

        self._stir = asyncio.Event()
        self._gone = False
        """Whether the network said that nobody has that nick."""

        self._rest_until = 0.0
        self._say: Callable[[str, str], asyncio.Future[None]] | None = None
        self._fold: Callable[[str], str] = str.lower

    # ------------------------------------------------------------ connection

    def connected(self, say: Callable[[str, str], asyncio.Future[None]], fold: Callable[[str], str]) -> None:
        """Ask by *say*, which takes nick and text, and returns when that is out; names are compared by *fold*."""
        self._say, self._fold, self._rest_until = say, fold, 0.0

    def lost(self) -> None:
        """Note that the connection is gone: nothing is asked, and nothing is answered any more."""
        self._say = None
        for task in self._asking.values():
            task.cancel()
        self._asking.clear()

    def heard(self, heard: Heard) -> None:
        """Take a notice, whoever it is from."""
        if self._answer is None or heard.channel or self._fold(heard.nick) != self._fold(self._nick):
            return
        if self._source and heard.host != self._source:
            self._once(
                f"{self._nick} at {printable(heard.host)[:100]} is not the one that answered before, "
                f"at {self._source}, and is not believed; if services have moved, set nickserv: {self._nick}@HOST"
            )
            return
        self._source = heard.host
        self._answer.take(strip_codes(heard.text))
        self._stir.set()

    def not_taken(self, target: str) -> None:
        """Note that the network did not take what was said to *target*."""
        if self._fold(target) == self._fold(self._nick):
            self._gone = True
            self._stir.set()

    # ---------------------------------------------------------------- asking

    async def registered(self, account: str, *, anew: bool) -> Epoch | None:
        """Return when the folded *account* was registered; None where it cannot be told, and the log says why.

        Services that do not answer are helped out by memory, unless somebody was seen to log in *anew*, which
        takes services: that may be another owner.
        """
        said = await self._asked(account)
        if said:
            return Epoch(said, fresh=True)
        kept = await self._remembered(account)
        if said is None and kept and not anew:
            return Epoch(kept, fresh=False)
        if said is not None and not kept and not await self._get("services"):
            self._once("services do not tell when accounts were registered: one that is taken over is not noticed")
            return Epoch("", fresh=True)
        self._once(
            f"{self._nick} did not tell since when an account is registered: its owner is a guest meanwhile "
            "(set epochs: none if this network has no services that could)"
        )
        return None

    async def _asked(self, account: str) -> str | None:
        """Return what services say: empty where they give no time, None where they say nothing."""
        if self._say is None or not is_word(account):
            return None
        asking = self._asking.get(account)
        if asking is None:
            asking = self._asking[account] = asyncio.create_task(self._ask(account))
            asking.add_done_callback(lambda task: self._done(account, task))
        try:
            async with asyncio.timeout(TURN_WITHIN):
                await asyncio.wait([asking])
        except TimeoutError:
            return None
        return None if asking.cancelled() else asking.result()

    def _done(self, account: str, task: asyncio.Task[str | None]) -> None:
        if self._asking.get(account) is task:
            del self._asking[account]

    async def _ask(self, account: str) -> str | None:
        async with self._one:
            say = self._say
            if say is None or time.monotonic() < self._rest_until:
                return None
            self._source = self._host or await self._get("services")
            answer = self._answer = Answer(account, self._fold)
            self._gone = False
            try:
                await self._whole(answer, say(self._nick, f"INFO {account}"))
            finally:
                self._answer = None
            if not answer.begun:
                self._rest_until = time.monotonic() + REST
                return None
            if answer.when:
                await self._keep("services", self._source)
                await self._remember(account, answer.when)
            return answer.when

    async def _whole(self, answer: Answer, sent: asyncio.Future[None]) -> None:
        """Return when *answer* is whole, or nothing comes any more; the time runs once the question is *sent*."""
        await asyncio.wait([sent])
        end = time.monotonic() + ANSWER_WITHIN
        try:
            while not answer.whole and not self._gone:
                self._stir.clear()
                left = end - time.monotonic()
                async with asyncio.timeout(min(left, _SETTLE) if answer.when else left):
                    await self._stir.wait()
        except TimeoutError:
            pass

    # -------------------------------------------------------------- keeping

    async def _remembered(self, account: str) -> str:
        """Return when *account* was registered, as services said of late; empty where they did not."""
        return (await self._memory()).get(_digest(account), ("", 0.0))[0]

    async def _remember(self, account: str, when: str) -> None:
        memory, now = await self._memory(), self._clock()
        said, until = memory.pop(_digest(account), ("", 0.0))
        if said == when and until > now + KEPT - _KEPT_ANEW:
            return
        memory[_digest(account)] = (when, now + KEPT)
        while len(memory) > _MOST_KEPT:
            del memory[next(iter(memory))]
        await self._keep("epochs", json.dumps(memory))

    async def _memory(self) -> dict[str, tuple[str, float]]:
        """Return what is remembered and not too old, by the digests of accounts, in the order in which it was told."""
        kept = json.loads(await self._get("epochs") or "{}")
        return {name: (said, until) for name, (said, until) in kept.items() if until > self._clock()}

    async def _get(self, key: str) -> str:
        try:
            return (await self._rows.get(key) or b"").decode()
        except VaultError as error:
            self._once(f"what services said before cannot be read: {error}")
            return ""

    async def _keep(self, key: str, value: str) -> None:
        try:
            if await self._get(key) != value:
                await self._rows.set(key, value.encode())
        except VaultError as error:
            self._once(f"what services say cannot be kept: {error}")

    def _once(self, text: str) -> None:
        if text not in self._said and len(self._said) < 100:
            self._said.add(text)
            self._log.warning("%s", text)


def _digest(account: str) -> str:
    return hashlib.sha256(account.encode()).hexdigest()[:32]
