"""The bot's side of a connection to an IRC network, without any I/O.

Whoever drives it tells it of connections, lines and the time, and does what it returns, in order::

    machine = Machine(settings)
    machine.recall(kept)                             # what `Keep` wanted kept, by an earlier process
    where = machine.where()                          # host, port, and whether over TLS
    effects = machine.connected(now, tls=where.tls)
    effects = machine.feed(line, now)                # one line from the server
    effects = machine.tick(now)                      # not before machine.next_tick
    effects = machine.lost(now)                      # the connection is gone

*now* is in seconds of a clock that never goes backwards.  What is wanted (nick, channels, TLS) stays over
connections; what is the case does not.  No line from the server, whatever is in it, makes the machine raise.

People are known by the account that the network gives on the very message, and by nothing else: a nick can
be taken by anybody between two messages.
"""

import random
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from math import inf

from adapters.irc.channels import CODES, Channels
from adapters.irc.effects import Drop, Effect, Heard, Kind, Known, NotTaken, Ready, Refused
from adapters.irc.handshake import Handshake
from adapters.irc.isupport import Isupport
from adapters.irc.lines import Line, Source, is_word, parse
from adapters.irc.nick import Nick
from adapters.irc.roster import Roster
from adapters.irc.settings import Settings
from adapters.irc.sts import Sts, key
from adapters.irc.wire import Wire
from omnibot.markup import printable

SILENCE = 90.0
"""Seconds without a line after which the server is asked whether it is there."""

PONG_TIME = 60.0
"""Seconds it has to answer that."""

MOTD_TIME = 15.0
"""Seconds from the welcome after which a server that does not end its message of the day is ready all the same."""

WHO_TIME = 60.0
ASK_TIME = 20.0
"""Seconds for the answer to a WHO and a WHOIS."""

_WHO_FIELDS = "%tcuhnfa"
_WHO_TOKEN = "417"  # noqa: S105  what marks the answers to our own WHO; any number of up to three digits
_MAX_BATCHES = 100
_NO_BATCH = ("", "")
_MAX_EARLY = 200
_MAX_ASKED = 1000
_STAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z")
_BOT_TAGS = ("bot", "draft/bot", "inspircd.org/bot")

_FINAL = {
    "463": ("the network does not let this address in", "Ask its operators, or connect from elsewhere."),
    "464": ("the network does not accept the password", "Correct the password of this network in the configuration."),
    "465": ("the network has banned the bot", "Ask its operators why, and restart the bot when the ban is gone."),
}
_NOT_SENT = frozenset({"401", "404", "442", "407", "408", "415", "486", "492", "494", "531", "573", "716", "937"})
"""Numerics that say a message was not taken; their second parameter is its target."""


@dataclass(frozen=True, slots=True)
class Where:
    """Where to connect to."""

    host: str
    port: int
    tls: bool


@dataclass(slots=True)
class _Question:
    """A WHOIS under way."""

    nick: str
    until: float
    label: str
    """What marks the answer; empty where the network has no labels."""

    told: str | None = None
    """The account told so far, folded."""


class Machine:
    """One network, over any number of connections one after the other."""

    def __init__(
        self,
        settings: Settings,
        *,
        wall: Callable[[], float] = time.time,
        random: Callable[[], float] = random.random,
    ) -> None:
        """Want what *settings* say; *wall* tells Unix time, *random* a number from 0 to 1."""
        self._settings = settings
        self._wall = wall
        self._random = random
        self._wire = Wire()
        host, port = settings.address
        self._sts = Sts(host, port, settings.secure)
        self._channels = Channels(self._wire, settings.keys, settings.rejoin, settings.invites)
        self._counts = settings.allow_plain
        """Whether accounts count, and not only over TLS."""

        self._handlers = self._all_handlers()
        self._begin(secure=False)

    @classmethod
    def kept_key(cls, settings: Settings) -> str:
        """Return the one key whose value the machine wants back after a restart."""
        return key(settings.host)

    def recall(self, kept: Mapping[str, str]) -> None:
        """Take back what was *kept*, before the first connection."""
        self._sts.recall(kept.get(key(self._settings.host), ""))

    def _begin(self, *, secure: bool) -> None:
        """Forget the last connection."""
        self.isupport = Isupport()
        self.roster = Roster(self.isupport.fold)
        self.ready = False
        """Whether the network lets the bot in."""

        service, _, _ = self._settings.nickserv.partition("@")
        self._nick = Nick(
            self._wire, self.isupport, self._settings.nick, lambda: self._handshake.authenticated, service
        )
        self._handshake = Handshake(self._wire, self._settings, self._nick, self._sts, secure=secure, wall=self._wall)
        self._secure = secure
        self._server = ""
        self._me = Source("")
        self._early: list[Line] = []
        self._batches: OrderedDict[str, tuple[str, str]] = OrderedDict()
        """By reference: the type, and the label of the question that it answers."""

        self._who: list[str] = []
        """The channels whose people have yet to be asked for; the first is under way, if `_who_by` is set."""

        self._who_by = inf
        self._asked: dict[str, _Question] = {}
        """What `ask` has asked, by folded nick."""

        self._labels = count(1)

        self._silent_at = self._wire.now + SILENCE
        self._pong_by = inf
        self._ready_by = inf

    # -------------------------------------------------------------- driving

    def where(self) -> Where:
        """Return where to connect to next."""
        return Where(self._settings.host, *self._sts.where(self._wall()))

    def connected(self, now: float, *, tls: bool) -> list[Effect]:
        """Begin a new connection, over TLS or not."""
        self._wire.take()
        self._wire.now = now
        self._wire.open = True
        self._begin(secure=tls)
        self._channels.begin(self.isupport, lambda: 0.8 + 0.4 * self._random())
        self._handshake.begin()
        return self._wire.take()

    def feed(self, data: bytes, now: float) -> list[Effect]:
        """Take one line from the server, with or without its end."""
        if not self._wire.open:
            return []
        self._wire.now = now
        self._silent_at, self._pong_by = now + SILENCE, inf
        line = parse(data)
        if line is not None:
            self._take(line)
        return self._wire.take()

    def tick(self, now: float) -> list[Effect]:
        """Do what is due at *now*."""
        if not self._wire.open:
            return []
        self._wire.now = now
        self._watch()
        self._handshake.tick()
        if self._handshake.registered:
            self._tick_registered()
        return self._wire.take()

    def lost(self, now: float) -> list[Effect]:
        """Note that the connection is gone, by whatever cause."""
        self._wire.take()
        self._wire.now = now
        self._wire.open = True  # what is to be kept is told even after a refusal
        for effect in self._sts.lost(self._wall()):
            self._wire.do(effect)
        self._wire.open = False
        self.ready = False
        return self._wire.take()

    @property
    def next_tick(self) -> float:
        """When `tick` has something to do; infinity while there is no connection."""
        if not self._wire.open:
            return inf
        times = [self._handshake.next_tick, min(self._silent_at, self._pong_by), self._ready_by]
        if self.ready:
            times += [self._nick.next_tick, self._channels.next_tick, self._who_by, self._ask_by()]
        return min(times)

    # --------------------------------------------------------------- asking

    @property
    def nick(self) -> str:
        """The bot's nick just now."""
        return self._nick.current

    @property
    def account_tags(self) -> bool:
        """Whether people can be known: messages carry accounts, and they count."""
        return (self._secure or self._counts) and self.has("account-tag")

    def has(self, capability: str) -> bool:
        """Return whether *capability* is in force."""
        return capability in self._handshake.enabled

    def tells_of(self, nick: str) -> bool:
        """Return whether the network tells of itself when the account of *nick* changes."""
        return self.roster.watched(nick) and self.has("account-notify")

    def joined(self, channel: str) -> bool:
        """Return whether the bot is in *channel* just now."""
        return self.ready and self.roster.inside(channel)

    @property
    def source(self) -> str:
        """The bot as others see it, ``nick!user@host``; the nick alone while the rest is not known."""
        return str(self._me)

    @property
    def line_limit(self) -> int:
        """Bytes of a line with its end, as `Line.encode` takes it."""
        return self.isupport.line_limit

    def ask(self, nick: str, now: float) -> list[Effect]:
        """Ask the network which account *nick* has just now; the answer comes as `Known`, at the latest in 20 s."""
        self._wire.now = now
        if not self.ready or not is_word(nick) or "," in nick or len(self._asked) >= _MAX_ASKED:
            return [Known(nick, None)]
        folded = self.isupport.fold(nick)
        if folded not in self._asked:
            labels = self.has("labeled-response") and self.has("batch")
            asked = self._asked[folded] = _Question(nick, now + ASK_TIME, str(next(self._labels)) if labels else "")
            self._wire.send("WHOIS", nick, label=asked.label)
        return self._wire.take()

    # --------------------------------------------------------------- timers

    def _watch(self) -> None:
        """Ask a silent server whether it is there, and leave one that does not answer (a half-open connection)."""
        now = self._wire.now
        if now >= self._pong_by:
            self._wire.do(Drop(f"the network has been silent for {SILENCE + PONG_TIME:.0f} seconds"))
        elif now >= self._silent_at:
            self._silent_at, self._pong_by = inf, now + PONG_TIME
            self._wire.send("PING", "omnibot", urgent=True)

    def _tick_registered(self) -> None:
        now = self._wire.now
        if now >= self._ready_by:
            self._become_ready()
        if not self.ready:
            return
        self._nick.tick()
        self._channels.tick()
        if now >= self._who_by:
            self._next_who()
        for one in [one for one in self._asked.values() if now >= one.until]:
            self._answer(one.nick, None)

    def _ask_by(self) -> float:
        return min((one.until for one in self._asked.values()), default=inf)

    # ------------------------------------------------------------- dispatch

    def _all_handlers(self) -> dict[str, Callable[[Line], None]]:
        handlers: dict[str, Callable[[Line], None]] = {
            "001": self._on_welcome,
            "005": lambda line: self.isupport.feed(line.params[1:-1]),
            "010": lambda line: self._wire.say(f"the network would rather have the bot at {_shown(line.param(1))}"),
            "263": self._on_try_again,
            "302": self._on_userhost,
            "315": self._on_who_end,
            "318": lambda line: self._answer(line.param(1), self._told(line.param(1))),
            "330": self._on_whois_account,
            "353": self._on_names,
            "354": self._on_who,
            "376": lambda line: self._become_ready(),
            "422": lambda line: self._become_ready(),
            "396": self._on_visible_host,
            "410": lambda line: self._handshake.no_cap(),
            "421": lambda line: self._handshake.unknown_command(line),
            "451": lambda line: self._handshake.not_registered(),
            "466": lambda line: self._wire.say("the network is about to ban the bot"),
            "901": lambda line: self._handshake.logged_out(),
            "903": lambda line: self._handshake.logged_in(line),
            "907": lambda line: self._handshake.logged_in(line),
            "ACCOUNT": self._on_account,
            "AUTHENTICATE": lambda line: self._handshake.authenticate(line),
            "BATCH": self._on_batch,
            "CAP": self._on_cap,
            "CHGHOST": self._on_chghost,
            "ERROR": lambda line: self._wire.do(Drop(f"the network closed the connection: {_shown(line.param(-1))}")),
            "FAIL": lambda line: self._wire.say(f"the network says: {_shown(' '.join(line.params))}"),
            "INVITE": self._on_invite,
            "JOIN": self._on_join,
            "KICK": self._on_kick,
            "KILL": self._on_kill,
            "NICK": self._on_nick,
            "NOTICE": self._on_message,
            "PART": self._on_part,
            "PING": lambda line: self._wire.send("PONG", *line.params[:1], urgent=True),
            "PRIVMSG": self._on_message,
            "QUIT": self._on_quit,
        }
        handlers |= dict.fromkeys(("432", "433", "436"), lambda line: self._nick.taken(line))
        handlers |= dict.fromkeys(("902", "904", "905", "906", "908"), lambda line: self._handshake.sasl_failed(line))
        handlers |= dict.fromkeys(_NOT_SENT, self._on_not_sent)
        handlers |= dict.fromkeys(CODES, self._on_not_joined)
        handlers |= dict.fromkeys(_FINAL, self._on_final)
        return handlers | {"437": self._on_unavailable}

    def _take(self, line: Line) -> None:
        handler = self._handlers.get(line.command)
        if handler is not None:
            handler(line)
        if (label := line.tags.get("label")) and line.command != "BATCH":
            self._answered(label)

    # ----------------------------------------------------------- connecting

    def _on_cap(self, line: Line) -> None:
        told = self.has("account-notify")
        self._handshake.cap(line)
        if self.has("account-notify") and not told:
            self.roster.doubt()

    def _on_welcome(self, line: Line) -> None:
        was = self._handshake.registered
        self._handshake.welcomed(line)
        if self._handshake.registered and not was:
            self._server = line.source.nick if line.source else ""
            self._me = Source(self.nick)
            self._ready_by = self._wire.now + MOTD_TIME

    def _become_ready(self) -> None:
        if self.ready or not self._handshake.registered:
            return
        self.ready = True
        self._ready_by = inf
        self.isupport.settle()
        self._wire.do(Ready(printable(self.isupport.network or self._server or self._settings.host), self.account_tags))
        self._explain_guests()
        if self.isupport.bot_mode:
            self._wire.send("MODE", self.nick, f"+{self.isupport.bot_mode}")
        self._wire.send("USERHOST", self.nick)  # the bot's own source, whose length every line of its shares
        self._nick.settle()
        self._channels.ready(self.roster.inside)
        early, self._early = self._early, []
        for one in early:
            self._take(one)

    def _explain_guests(self) -> None:
        if not self.has("account-tag"):
            self._wire.say("this network does not tell who is logged in to services: everybody is a guest here")
        elif not self.account_tags:
            self._wire.say(
                "without TLS nobody is known by their account: everybody is a guest here. "
                "Use tls, or accept the risk with allow_plain: true"
            )

    def _on_final(self, line: Line) -> None:
        what, cure = _FINAL[line.command]
        said = _shown(line.param(-1))
        self._wire.do(Refused(f"{what}: {said}" if said else what, cure))

    def _on_kill(self, line: Line) -> None:
        if self._nick.is_me(line.param(0)):
            self._wire.do(Drop(f"the bot was killed: {_shown(line.param(-1))}"))

    # ------------------------------------------------------------- the nick

    def _on_unavailable(self, line: Line) -> None:
        """437 is about a nick or a channel."""
        if self.isupport.is_channel(line.param(1)):
            self._on_not_joined(line)
        else:
            self._nick.taken(line)

    def _on_nick(self, line: Line) -> None:
        if line.source is None or not is_word(line.param(0)):
            return
        old, new = line.source.nick, line.param(0)
        self.roster.renamed(old, new)
        if self._nick.is_me(old):
            self._me = Source(new, self._me.user, self._me.host)
            self._nick.renamed(new)
        else:
            self._nick.freed(old)

    def _on_userhost(self, line: Line) -> None:
        """302: ``nick*=+user@host``, several of them in the last parameter."""
        for one in line.param(-1).split(" "):
            nick, _, where = one.partition("=")
            user, _, host = where[1:].partition("@")
            if user and host and self._nick.is_me(nick.removesuffix("*")):
                self._me = Source(self.nick, user, host)

    def _on_visible_host(self, line: Line) -> None:
        """396: services or the server gave the bot another host, perhaps with a user."""
        user, at, host = line.param(1).rpartition("@")
        if host:
            self._me = Source(self.nick, user if at else self._me.user, host)

    # ------------------------------------------------------------- channels

    def _on_not_joined(self, line: Line) -> None:
        if line.command in ("403", "477"):  # they may as well be about speaking there
            self._on_not_sent(line)
        self._channels.failed(line)

    def _on_join(self, line: Line) -> None:
        if line.source is None:
            return
        for channel in line.param(0).split(","):
            if not self.isupport.is_channel(channel):
                continue
            if self._nick.is_me(line.source.nick):
                self._entered(channel, line.source)
            elif not self.roster.inside(channel):
                continue
            self.roster.joined(line.source.nick, channel)
            self.roster.moved(line.source.nick, line.source.user, line.source.host)
            if self.has("extended-join") and len(line.params) > 1:
                self.roster.logged_in(line.source.nick, self._account(line.param(1)))

    def _entered(self, channel: str, me: Source) -> None:
        self.roster.opened(channel)
        self._channels.joined(channel)
        if me.user and me.host:
            self._me = Source(self.nick, me.user, me.host)
        if self.isupport.has("WHOX") and is_word(channel) and len(self._who) < _MAX_ASKED:
            self._who.append(channel)
            if self._who_by == inf:
                self._send_who()

    def _on_part(self, line: Line) -> None:
        if line.source is not None:
            for channel in line.param(0).split(","):
                self._leaves(line.source.nick, channel)

    def _on_kick(self, line: Line) -> None:
        nicks = line.param(1).split(",")
        channels = line.param(0).split(",")
        for channel, nick in zip(channels * len(nicks) if len(channels) == 1 else channels, nicks, strict=False):
            if self._nick.is_me(nick):
                by = printable(line.source.nick)[:50] if line.source else "the network"
                self._wire.say(f"the bot was kicked from {printable(channel)[:100]} by {by}")
            self._leaves(nick, channel)

    def _leaves(self, nick: str, channel: str) -> None:
        if not self._nick.is_me(nick):
            self.roster.parted(nick, channel)
        elif self.roster.inside(channel):
            self.roster.closed(channel)
            self._channels.left(channel)

    def _on_quit(self, line: Line) -> None:
        if line.source is not None and not self._nick.is_me(line.source.nick):
            self.roster.gone(line.source.nick)
            self._nick.freed(line.source.nick)

    def _on_invite(self, line: Line) -> None:
        if self._nick.is_me(line.param(0)):  # invite-notify tells of others' as well
            self._channels.invited(line.param(1))

    # --------------------------------------------------------------- people

    def _account(self, name: str) -> str:
        """Return the account called *name*, folded; empty where it means none."""
        return "" if name in ("*", "0") or not is_word(name) else self.isupport.fold(name)

    def _on_account(self, line: Line) -> None:
        if line.source is not None and self.roster.user(line.source.nick):
            self.roster.logged_in(line.source.nick, self._account(line.param(0)), anew=True)

    def _on_chghost(self, line: Line) -> None:
        if line.source is None or len(line.params) < 2:
            return
        if self._nick.is_me(line.source.nick):
            self._me = Source(self.nick, line.param(0), line.param(1))
        self.roster.moved(line.source.nick, line.param(0), line.param(1))

    def _on_names(self, line: Line) -> None:
        """353: everybody in a channel, with the signs of their status, and perhaps user and host."""
        channel = line.param(2)
        if not self.roster.inside(channel):
            return
        for one in line.param(3).split(" "):
            nick, _, rest = one.lstrip(self.isupport.prefixes).partition("!")
            if nick:
                self.roster.joined(nick, channel)
            if rest:
                self.roster.moved(nick, *rest.partition("@")[::2])

    def _send_who(self) -> None:
        self._who_by = self._wire.now + WHO_TIME
        self._wire.send("WHO", self._who[0], f"{_WHO_FIELDS},{_WHO_TOKEN}")

    def _next_who(self) -> None:
        """Ask about the next channel: one after the other, for the answers may be long."""
        self._who_by = inf
        del self._who[:1]
        if self._who:
            self._send_who()

    def _on_who(self, line: Line) -> None:
        """354, as `_WHO_FIELDS` ask for it: us, token, channel, user, host, nick, flags, account."""
        if (
            len(line.params) == 8
            and line.param(1) == _WHO_TOKEN
            and self.roster.in_channel(line.param(5), line.param(2))
        ):
            self.roster.moved(line.param(5), line.param(3), line.param(4))
            self.roster.logged_in(line.param(5), self._account(line.param(7)))

    def _on_who_end(self, line: Line) -> None:
        if self._who_by < inf and self.isupport.fold(line.param(1)) == self.isupport.fold(self._who[0]):
            self._next_who()

    def _on_try_again(self, line: Line) -> None:
        if line.param(1).upper() == "WHO" and self._who_by < inf and self._who.count(self._who[0]) == 1:
            self._who.append(self._who[0])  # asked again behind the others

    def _on_whois_account(self, line: Line) -> None:
        if (asked := self._asked.get(self.isupport.fold(line.param(1)))) is not None:
            asked.told = self._account(line.param(2))

    def _told(self, nick: str) -> str | None:
        asked = self._asked.get(self.isupport.fold(nick))
        return asked.told if asked is not None else None

    def _answered(self, label: str) -> None:
        """End the question with that *label*, whatever the answer was: there is no more to it.

        A network that is asked too much refuses to tell (263), and says so without the nick.
        """
        for asked in [one for one in self._asked.values() if one.label == label]:
            self._answer(asked.nick, asked.told)

    def _answer(self, nick: str, account: str | None) -> None:
        found = self._asked.pop(self.isupport.fold(nick), None)
        if found is not None:
            self.roster.logged_in(found.nick, account or "")
            self._wire.do(Known(found.nick, (account or None) if self._secure or self._counts else None))

    # ------------------------------------------------------------- messages

    def _on_batch(self, line: Line) -> None:
        reference = line.param(0)
        if len(reference) > 1 and reference[0] == "+" and len(line.params) > 1:
            self._batches[reference[1:]] = (line.param(1), line.tags.get("label", ""))
            if len(self._batches) > _MAX_BATCHES:
                self._batches.popitem(last=False)
        elif reference.startswith("-"):
            _, label = self._batches.pop(reference[1:], ("", ""))
            if label:
                self._answered(label)

    def _on_not_sent(self, line: Line) -> None:
        if len(line.params) > 2:
            self._wire.do(NotTaken(line.param(1), line.command, _shown(line.param(-1))))

    def _on_message(self, line: Line) -> None:
        source = line.source
        if source is None or source.is_server or not is_word(source.nick) or "," in source.nick or len(line.params) < 2:
            return
        if not self.ready:
            # What comes in a batch that early was said before; and the batch would be over when this is heard.
            if len(self._early) < _MAX_EARLY and not line.tags.get("batch"):
                self._early.append(line)
            return
        target = line.param(0)
        channel = self.isupport.channel(target)
        if channel is None and not self._nick.is_me(target) and not self._nick.is_me(source.nick):
            return  # to everybody on a server, say
        text, kind = _content(line)
        self._wire.do(
            Heard(
                nick=source.nick,
                host=source.host,
                channel=channel,
                text=text,
                account=self._spoken_as(source.nick, line),
                time=_unix(line.tags.get("time", "")) or self._wall(),
                msgid=line.tags.get("msgid", ""),
                kind=kind,
                is_echo=self._nick.is_me(source.nick),
                is_bot=any(tag in line.tags for tag in _BOT_TAGS),
                batch=self._batches.get(line.tags.get("batch", ""), _NO_BATCH)[0],
            )
        )

    def _spoken_as(self, nick: str, line: Line) -> str | None:
        """Return the account on *line* where it counts, and note it for finding *nick* again."""
        if not self.account_tags:
            return None
        account = self._account(line.tags.get("account", ""))
        if not line.tags.get("batch"):  # what is told again was true then
            self.roster.logged_in(nick, account)
        return account or None


def _content(line: Line) -> tuple[str, Kind]:
    """Return the text of a message and what it is; CTCP by the Modern IRC client protocol, "CTCP messages"."""
    text = line.param(1)
    if line.command == "NOTICE":
        return text, "notice"
    if not text.startswith("\x01"):
        return text, "message"
    inside = text[1:].removesuffix("\x01")
    if inside == "ACTION" or inside.startswith("ACTION "):
        return inside[7:], "action"
    return inside, "ctcp"


def _unix(stamp: str) -> float | None:
    """Return the Unix time of a server-time *stamp*; None where it is none."""
    if not _STAMP.fullmatch(stamp):
        return None
    try:
        return datetime.fromisoformat(f"{stamp[:19]}{stamp[19:-1][:7]}").replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return None


def _shown(text: str) -> str:
    """Return what the server said, fit for a log line."""
    return printable(text).strip()[:200]
