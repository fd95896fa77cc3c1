"""Conversations with the IRC machine that no server would have, made from a seed, and what holds in all of them."""

import re
from collections.abc import Iterable, Iterator
from random import Random

from adapters.irc.effects import Drop, Effect, Heard, Ready, Refused, Send, Upgrade
from adapters.irc.lines import TAG_LIMIT, parse
from adapters.irc.machine import Machine
from adapters.irc.settings import ChannelPart, Sasl, Settings
from irc_talk import ALL, WALL
from omnibot.provider import Secret

PASSWORD = Secret("hunter2")
SETTINGS = tuple(
    Settings(host="irc.example.org", channels=["#c", ChannelPart(name="#k[", key=Secret("sesame"))], **options)
    for options in (
        {},
        {"nick": "longer-than-nine", "invites": "any", "rejoin": False},
        {"tls": False, "allow_plain": True, "password": PASSWORD},
        {"tls": False},
        {"sasl": Sasl(username="bot", password=PASSWORD)},
        {"sasl": Sasl(username="bot", password=Secret("x" * 700)), "require_sasl": False},
        {"sasl": Sasl(mechanism="SCRAM-SHA-256", username="bot", password=PASSWORD), "require_sasl": False},
    )
)

SAID = frozenset(
    [
        *("AUTHENTICATE", "CAP", "JOIN", "MODE", "NICK", "PART", "PASS", "PING", "PONG", "PRIVMSG"),
        *("USER", "USERHOST", "WHO", "WHOIS"),
    ]
)
"""Every command that the machine may send."""

_NICKS = ("omnibot", "OMNIBOT", "omnibot_", "longer-th", "ada", "Ada", "bob[", "BOB{", "*", "irc.srv", "é" * 40, "")
_CHANNELS = ("#c", "#C", "#k[", "#K{", "#x", "&y", "@#c", "#a,#b", "#" + "z" * 600, "#", "c", "")
_WORDS = (
    *_NICKS, *_CHANNELS, "+", "-", "*", "0", "1", "417", "LS", "ACK", "NAK", "NEW", "DEL", ALL, "sasl", "sasl=PLAIN",
    "sts", "sts=port=6697", "sts=duration=9", "sts=port=1,duration=0", "batch", "-batch", "account-tag",
    "~account-tag", "CAP", "AUTHENTICATE", "WHO", "+a", "-a", "+b", "chathistory", "netsplit", "CASEMAPPING=ascii",
    "CASEMAPPING=strict-rfc1459", "-CASEMAPPING", "NICKLEN=1", "NICKLEN=9", "NICKLEN=99999", "LINELEN=1",
    "LINELEN=2048", "CHANTYPES=", "CHANTYPES=#", "PREFIX=", "PREFIX=(ov)@+", "STATUSMSG=@+", "TARGMAX=JOIN:1",
    "TARGMAX=JOIN:", "WHOX", "-WHOX", "BOT=B", "NETWORK=N", "NETWORK=", "omnibot=+u@h", "omnibot*=-u@h ada=+",
    "\x01ACTION x\x01", "\x01", "@ada +bob[ omnibot!u@h", "A" * 400, "QQ==", "cj14LHM9QUFBQSxpPTQwOTY=", "two words",
    " ", ":", "x" * 600, "\u3000", "\ud7ff", "💬" * 200,
)  # fmt: skip
_NUMERICS = (
    1, 1, 2, 5, 5, 10, 263, 302, 315, 318, 330, 353, 353, 354, 376, 376, 396, 401, 403, 404, 410, 421, 422, 432, 433,
    436, 437, 451, 463, 464, 465, 466, 470, 471, 473, 474, 475, 477, 900, 901, 902, 903, 904, 905, 906, 907, 908,
)  # fmt: skip
_COMMANDS = (
    *(f"{number:03}" for number in _NUMERICS), "ACCOUNT", "AUTHENTICATE", "AUTHENTICATE", "AWAY", "BATCH", "CAP",
    "CAP", "CAP", "CHGHOST", "ERROR", "FAIL", "INVITE", "INVITE", "JOIN", "JOIN", "JOIN", "KICK", "KICK", "KILL",
    "MODE", "NICK", "NICK", "NOTICE", "PART", "PING", "PRIVMSG", "PRIVMSG", "PRIVMSG", "QUIT", "SETNAME", "TAGMSG",
)  # fmt: skip
_TAGS = (
    "account=ada", "account=", "account=Bob[", "account=\\", "time=2027-01-15T08:00:01Z", "time=x", "batch=a", "batch=",
    "label=1", "msgid=1", "bot", "+x=y", ";;=", "\udc80",
)  # fmt: skip
_WELCOME = (
    f":irc.srv CAP * LS :{ALL} sasl", f":irc.srv CAP * ACK :{ALL} sasl", "AUTHENTICATE +", ":irc.srv 903 omnibot :ok",
    ":irc.srv 001 omnibot :x", ":irc.srv 005 omnibot NETWORK=N WHOX CASEMAPPING=rfc1459 :x", ":irc.srv 376 omnibot :x",
    ":omnibot!u@h JOIN #c * :x", ":irc.srv 353 omnibot = #c :omnibot ada @bob[",
)  # fmt: skip
_BREAKERS = (b"\r", b"\n", b"\0", b" ", b":", b"@", b"\xff", b"\x01", b",", b"  ", b";", b"=", b"!")


def line(random: Random) -> bytes:
    """Return one line: rubbish, or something like what servers say."""
    if random.random() < 0.05:
        return random.randbytes(random.choice((0, 1, 5, 50, 1000)))
    words = [random.choice(_WORDS) for _ in range(random.choice((0, 1, 1, 2, 2, 3, 3, 4, 8)))]
    parts = [
        random.choice(_COMMANDS),
        *words[:-1],
        *(f":{word}" if random.random() < 0.6 else word for word in words[-1:]),
    ]
    if random.random() < 0.9:
        parts.insert(
            0, f":{random.choice(_NICKS)}" + random.choice(("", "!u@h", "!u@h", "!u@h", "!", "@h", "!~u@h.example"))
        )
    if random.random() < 0.4:
        parts.insert(0, "@" + ";".join(random.choices(_TAGS, k=random.choice((1, 2, 3)))))
    data = " ".join(parts).encode("utf-8", "surrogateescape")
    return _broken(random, data) if random.random() < 0.15 else data


def _broken(random: Random, data: bytes) -> bytes:
    at = random.randrange(len(data) + 1)
    return data[:at] + random.choice(_BREAKERS) + data[at + random.randrange(3) :]


class Conversation:
    """One, in which every rule is checked after each step."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._now = 1000.0
        self._settings = random.choice(SETTINGS)
        self._machine = Machine(self._settings, wall=lambda: WALL, random=random.random)
        self._ready = False
        self._made_up = 0

    def run(self) -> int:
        """Say all kinds of things, then be a server as it should be, for the machine must be able to talk to that.

        Return how many lines were made up.
        """
        self._connect()
        begun = self._random.choice((0, len(_WELCOME), len(_WELCOME), self._random.randrange(len(_WELCOME))))
        for one in _WELCOME[:begun]:
            self._hear(one.encode())
        for _ in range(self._random.choice((1, 3, 6, 12, 24))):
            self._step()
        self._ends_well()
        return self._made_up

    def _step(self) -> None:
        chance = self._random.random()
        if chance < 0.9:
            self._made_up += 1
            self._hear(line(self._random))
        elif chance < 0.96:
            self._wait(self._random.choice((0.5, 5, 40, 100, 1000)))
        elif chance < 0.98:
            self._check(self._machine.ask(self._random.choice(_WORDS), self._now))
        else:
            self._connect()

    def _connect(self) -> None:
        self._check(self._machine.lost(self._now))
        self._ready = False
        self._check(self._machine.connected(self._now, tls=self._machine.where().tls))

    def _hear(self, data: bytes) -> None:
        effects = self._machine.feed(data, self._now)
        self._check(effects)
        for one in effects:
            if isinstance(one, Heard) and one.account is not None and Ready not in map(type, effects):
                found = parse(data)
                assert found is not None
                assert self._machine.isupport.fold(found.tags["account"]) == one.account

    def _wait(self, seconds: float) -> None:
        end = self._now + seconds
        while (due := self._machine.next_tick) <= end:
            self._now = max(self._now, due)
            self._check(self._machine.tick(self._now))
            assert self._machine.next_tick > self._now, "the same tick again"
        self._now = end

    def _check(self, effects: Iterable[Effect]) -> None:
        over = False
        for effect in effects:
            assert not over, "something after the end"
            over = isinstance(effect, Drop | Refused | Upgrade)
            if isinstance(effect, Ready):
                assert not self._ready, "ready twice"
                self._ready = True
            if isinstance(effect, Heard):
                assert self._ready, "heard before it was ready"
                assert effect.account is None or self._machine.account_tags
            if isinstance(effect, Send):
                check_line(effect, self._machine.line_limit)
        assert not over or self._machine.feed(b"PING x", self._now) == []

    def _ends_well(self) -> None:
        """Whatever was, a new connection to a server as it should be leads into the channels, and people are known."""
        self._connect()
        machine, now = self._machine, self._now
        effects = [one for data in proper(self._settings) for one in machine.feed(data, now)]
        self._check(effects)
        joined = {
            name
            for one in effects
            if isinstance(one, Send) and one.line.command == "JOIN"
            for name in one.line.param(0).split(",")
        }
        assert joined >= {"#c", "#k["}, "it does not want its channels any more"
        [message] = [one for one in machine.feed(b"@account=Ada :x!u@h PRIVMSG #c :!hi", now) if isinstance(one, Heard)]
        assert ("x", "#c", "!hi", "ada" if machine.account_tags else None) == (
            message.nick, message.channel, message.text, message.account
        )  # fmt: skip
        assert ["omnibot", "x"] == sorted(machine.roster.members("#c"))


def proper(settings: Settings) -> Iterator[bytes]:
    """Give what a server says that is as it should be; its services log in anybody, but not by SCRAM."""
    login = settings.sasl and settings.sasl.mechanism != "SCRAM-SHA-256"
    caps = "account-tag echo-message" + (" sasl" if login else "")
    yield f":irc.srv CAP * LS :{caps}".encode()
    yield f":irc.srv CAP * ACK :{caps}".encode()
    if login:
        yield b"AUTHENTICATE +"
        yield b":irc.srv 903 * :ok"
    for one in ("001 omnibot :x", "005 omnibot NETWORK=N CASEMAPPING=rfc1459 :x", "376 omnibot :x"):
        yield f":irc.srv {one}".encode()
    yield b":omnibot!u@h JOIN #c"
    yield b":irc.srv 353 omnibot = #c :omnibot @x"


def check_line(effect: Send, limit: int) -> None:
    """Check that *effect* sends one line, of at most *limit* bytes, that the machine may send."""
    data = effect.line.encode(limit)
    tags, _, body = data.partition(b" ") if data.startswith(b"@") else (b"", b"", data)

    assert len(body) <= limit
    assert len(tags) < TAG_LIMIT
    assert re.fullmatch(rb"[^\r\n\0]+\r\n", data)
    assert body.split()[0].decode() in SAID
