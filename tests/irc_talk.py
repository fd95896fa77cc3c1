"""A server's side of a conversation with the IRC machine, line by line."""

from collections.abc import Iterable, Mapping
from typing import Any

from adapters.irc.effects import Effect, Send
from adapters.irc.machine import Machine
from adapters.irc.settings import Settings

WALL = 1_800_000_000.0
"""Unix time at the beginning of every talk."""

ALL = (
    "account-notify account-tag batch cap-notify chghost echo-message extended-join invite-notify labeled-response "
    "message-tags multi-prefix server-time setname"
)
"""Every capability that the bot asks for by itself."""


class Talk:
    """A machine, and the server and the time that it is told of."""

    def __init__(self, kept: Mapping[str, str] | None = None, **options: Any) -> None:
        self.now = 1000.0
        self.wall = WALL
        self.settings = Settings(host="irc.example.org", **options)
        self.machine = Machine(self.settings, wall=lambda: self.wall, random=lambda: 0.5)
        self.machine.recall(kept or {})

    def connect(self, *, tls: bool = True) -> list[Effect]:
        """Connect anew."""
        return self.machine.connected(self.now, tls=tls)

    def hears(self, *lines: str | bytes) -> list[Effect]:
        """Let the machine hear *lines*; return all that it wants done."""
        found: list[Effect] = []
        for line in lines:
            data = line.encode() if isinstance(line, str) else line
            found += self.machine.feed(data + b"\r\n", self.now)
        return found

    def waits(self, seconds: float) -> list[Effect]:
        """Let time pass, with a tick whenever the machine wants one."""
        found: list[Effect] = []
        end = self.now + seconds
        while (due := self.machine.next_tick) <= end:
            self.now = max(self.now, due)
            found += self.machine.tick(self.now)
            assert self.machine.next_tick > due, "it asks for the same tick again"
        self.wall += end - self.now
        self.now = end
        return found

    def loses(self) -> list[Effect]:
        """Cut the connection."""
        return self.machine.lost(self.now)

    def registers(
        self,
        caps: str = ALL,
        isupport: str = "NETWORK=Test CASEMAPPING=rfc1459",
        nick: str = "omnibot",
        *,
        tls: bool = True,
    ) -> list[Effect]:
        """Connect and go on to the end of the message of the day; return what the machine wants done then."""
        self.connect(tls=tls)
        self.hears(f":srv CAP * LS :{caps}")
        if caps:
            self.hears(f":srv CAP * ACK :{caps}")
        return self.hears(
            f":srv 001 {nick} :Welcome", f":srv 005 {nick} {isupport} :are supported", f":srv 376 {nick} :End of MOTD"
        )


def sent(effects: Iterable[Effect]) -> list[str]:
    """Return the lines that are to be sent, without their ends."""
    return [one.line.encode().decode().removesuffix("\r\n") for one in effects if isinstance(one, Send)]


def only[E](kind: type[E], effects: Iterable[Effect]) -> list[E]:
    """Return those of *effects* that are of *kind*."""
    return [one for one in effects if isinstance(one, kind)]
