"""A stand-in for an IRC server, in the test's own loop: it says what a test wants, and shows what it was sent.

It registers whoever comes, lets them join, and answers WHO, WHOIS and NickServ's INFO by `accounts`.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

CAPS = "account-tag account-notify extended-join message-tags echo-message batch server-time"


class StandIn:
    """The server; one client at a time is spoken to."""

    def __init__(self, caps: str = CAPS) -> None:
        self.caps = caps
        self.port = 0
        self.said: list[str] = []
        """The lines that the client sent, without their ends."""

        self.raw = b""
        """The bytes that it sent, over all connections."""

        self.accounts: dict[str, str] = {}
        """By nick: who is logged in as what, for WHOIS."""

        self.registered: dict[str, str] = {}
        """By account: NickServ's line on when it was registered."""

        self.has_services = True
        self.silent_services = False
        """Whether they take questions, and answer none."""

        self.services_host = "services.test"
        self.connections = 0
        self.greeting = ""
        """What is said to whoever connects, before they say anything."""

        self._writer: asyncio.StreamWriter | None = None
        self._came = asyncio.Event()

    @asynccontextmanager
    async def up(self, tls: ssl.SSLContext | None = None) -> AsyncIterator["StandIn"]:
        """Listen on a port of 127.0.0.1."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.cut()

    def send(self, *lines: str) -> None:
        """Say *lines* to the client."""
        assert self._writer is not None, "somebody is connected"
        self._writer.write("".join(f"{line}\r\n" for line in lines).encode())

    def tell(self, nick: str, text: str, account: str = "", *, to: str = "omnibot", tags: str = "") -> None:
        """Have *nick* say *text*, logged in to *account* unless that is empty."""
        said = ";".join(filter(None, [f"account={account}" if account else "", tags]))
        self.send(f"{f'@{said} ' if said else ''}:{nick}!{nick}@host PRIVMSG {to} :{text}")

    def cut(self) -> None:
        """Close the connection at once."""
        if self._writer is not None:
            self._writer.transport.abort()
            self._writer = None

    async def until(self, text: str, within: float = 10.0) -> str:
        """Return the first line that was sent with *text* in it."""
        async with asyncio.timeout(within):
            while not (found := [line for line in self.said if text in line]):
                self._came.clear()
                await self._came.wait()
        return found[0]

    def private(self, nick: str) -> list[str]:
        """Return what was said to *nick*."""
        start = f"PRIVMSG {nick} "
        return [line.removeprefix(start).removeprefix(":") for line in self.said if line.startswith(start)]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.connections += 1
        if self.greeting:
            self.send(self.greeting)
        try:
            while data := await reader.readline():
                self.raw += data
                line = data.decode().removesuffix("\r\n")
                self.said.append(line)
                self._answer(line)
                self._came.set()
        except OSError:
            pass
        finally:
            writer.close()

    def _answer(self, line: str) -> None:
        command, _, rest = line.partition(" ")
        answers: dict[str, Callable[[str], list[str]]] = {
            "CAP": self._cap,
            "JOIN": lambda name: [f":omnibot!bot@host JOIN {name} * :bot", f":srv 366 omnibot {name} :End"],
            "PING": lambda mark: [f":srv PONG srv {mark}"],
            "WHOIS": self._whois,
            "PRIVMSG": self._info,
        }
        if command in answers:
            self.send(*answers[command](rest))

    def _cap(self, rest: str) -> list[str]:
        if rest.startswith("LS"):
            return [f":srv CAP * LS :{self.caps}"]
        if rest.startswith("REQ"):
            return [f":srv CAP * ACK {rest.removeprefix('REQ ')}"]
        if rest != "END":
            return []
        welcome = [":srv 001 omnibot :Welcome", ":srv 005 omnibot NETWORK=Test CASEMAPPING=ascii :are supported"]
        return [*welcome, ":srv 376 omnibot :End"]

    def _whois(self, nick: str) -> list[str]:
        told = [f":srv 330 omnibot {nick} {self.accounts[nick]} :is logged in as"] if nick in self.accounts else []
        return [*told, f":srv 318 omnibot {nick} :End"]

    def _info(self, rest: str) -> list[str]:
        target, _, said = rest.partition(" ")
        account = said.removeprefix(":").removeprefix("INFO ")
        if target != "NickServ" or self.silent_services:
            return []
        if not self.has_services:
            return [":srv 401 omnibot NickServ :No such nick"]
        told = [
            f"Information on {account} (account {account}):",
            self.registered.get(account, ""),
            "*** End of Info ***",
        ]
        return [f":NickServ!NickServ@{self.services_host} NOTICE omnibot :{one}" for one in told if one]
