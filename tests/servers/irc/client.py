"""A small IRC client, for the people of a test: what they typed, and what they saw."""

import asyncio
import base64
import ssl
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack, suppress
from typing import Protocol

from servers.irc.line import Line, parse

HOST = "localhost"
LIMIT = 10.0
"""Seconds until something that has to come is there at the latest."""

CAPS = (
    "account-notify",
    "account-tag",
    "away-notify",
    "batch",
    "cap-notify",
    "echo-message",
    "extended-join",
    "labeled-response",
    "message-tags",
    "server-time",
)
"""What a client of today asks for."""

REFUSALS = ("432", "433", "464", "465", "902", "904", "905", "906", "907", "908")
"""What a server says to a nick, a password, a person or a login that it does not take."""


class Login(Protocol):
    """The account somebody has with the services."""

    @property
    def name(self) -> str: ...

    @property
    def password(self) -> str: ...


class Gone(AssertionError):
    """The server has closed the connection; the text is the last of what it said."""


class Person:
    """Somebody on IRC; made by `People.come` or `connect`, and answers PING by itself."""

    def __init__(self, nick: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.nick = nick
        self.lines = list[Line]()
        """Everything that came in."""

        self.offered = dict[str, str]()
        """The capabilities that the server offers, with their values."""

        self.caps = frozenset[str]()
        """The capabilities that it agreed to."""

        self._reader = reader
        self._writer = writer
        self._looked_at = 0
        self._came = asyncio.Event()
        self._gone = False
        self._reading = asyncio.create_task(self._read())

    # --------------------------------------------------------------- by hand

    async def send(self, *lines: str) -> None:
        """Send *lines* as they are."""
        self._writer.write("".join(f"{line}\r\n" for line in lines).encode())
        await self._writer.drain()

    async def say(self, target: str, text: str) -> None:
        """Say *text* in the channel or to the person *target*."""
        await self.send(f"PRIVMSG {target} :{text}")

    async def join(self, *channels: str) -> None:
        """Be in *channels*."""
        for channel in channels:
            await self.send(f"JOIN {channel}")
            await self.until(lambda line: line.command == "366")

    async def identify(self, account: Login) -> None:
        """Log in to *account* by telling NickServ."""
        await self.say("NickServ", f"IDENTIFY {account.name} {account.password}")
        await self.until(lambda line: line.command == "900")

    async def logout(self) -> None:
        """Log out of the account, and stay."""
        await self.say("NickServ", "LOGOUT")
        await self.until(lambda line: line.command == "901")

    # ------------------------------------------------------------------- see

    async def until(self, is_it: Callable[[Line], bool], within: float = LIMIT) -> Line:
        """Return the next line that *is_it*; those before it count as looked at.

        Raises:
            Gone: the connection was closed before it came.
            AssertionError: it did not come *within* seconds.
        """
        begin = self._looked_at
        try:
            async with asyncio.timeout(within):
                while True:
                    while self._looked_at < len(self.lines):
                        self._looked_at += 1
                        if is_it(self.lines[self._looked_at - 1]):
                            return self.lines[self._looked_at - 1]
                    if self._gone:
                        raise Gone(self._report("the connection was closed", begin))
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            raise AssertionError(self._report(f"it did not come within {within} s", begin)) from None

    async def hear(self, text: str = "", *, of: str = "", within: float = LIMIT) -> Line:
        """Return the next message or notice that has *text* in it, and is from the nick *of* unless that is empty."""

        def is_it(line: Line) -> bool:
            return line.command in ("PRIVMSG", "NOTICE") and text in line.text and of in ("", line.nick)

        return await self.until(is_it, within)

    async def gone(self, within: float = LIMIT) -> None:
        """Return once the server has closed the connection."""
        async with asyncio.timeout(within):
            await asyncio.wait([self._reading])

    async def leave(self) -> None:
        """Quit, without waiting for an answer: a half-open connection has none."""
        self._reading.cancel()
        await asyncio.wait([self._reading])
        if not self._writer.is_closing():
            self._writer.write(b"QUIT\r\n")
        self._writer.transport.abort()
        with suppress(OSError):  # the server was faster
            await self._writer.wait_closed()

    # ---------------------------------------------------------------- inside

    async def register(self, caps: Iterable[str], login: Login | None, *, external: bool, password: str = "") -> None:
        """Do what a client does first, up to 001.

        Raises:
            Gone: the server closed the connection.
            AssertionError: it said no, or does not offer SASL.
        """
        with_pass = [f"PASS :{password}"] if password else []
        await self.send("CAP LS 302", *with_pass, f"NICK {self.nick}", f"USER {self.nick} 0 * :{self.nick} of the test")
        await self._negotiate(caps)
        if external:
            await self._authenticate("EXTERNAL", b"")
        elif login is not None:
            await self._authenticate("PLAIN", f"\0{login.name}\0{login.password}".encode())
        await self.send("CAP END")
        await self._answer("001")

    async def _negotiate(self, caps: Iterable[str]) -> None:
        more = True
        while more:
            listed = await self._answer("CAP", "421")
            if listed.command == "421":
                return
            more = listed.params[2] == "*"
            for one in listed.text.split():
                name, _, value = one.partition("=")
                self.offered[name] = value
        wanted = {*caps, "sasl"} & self.offered.keys()
        if wanted:
            await self.send(f"CAP REQ :{' '.join(sorted(wanted))}")
            answer = await self._answer("CAP")
            self.caps = frozenset(wanted if answer.params[1] == "ACK" else ())

    async def _authenticate(self, mechanism: str, response: bytes) -> None:
        assert "sasl" in self.caps, f"the server offers {self.offered}"
        await self.send(f"AUTHENTICATE {mechanism}")
        await self._answer("AUTHENTICATE")
        await self.send(f"AUTHENTICATE {base64.b64encode(response).decode() or '+'}")
        await self._answer("903")

    async def _answer(self, *commands: str) -> Line:
        line = await self.until(lambda line: line.command in commands or line.command in REFUSALS)

        assert line.command in commands, line.raw
        return line

    async def _read(self) -> None:
        try:
            while raw := await self._reader.readline():
                line = parse(raw.decode(errors="replace").rstrip("\r\n"))
                self.lines.append(line)
                self._came.set()
                if line.command == "PING":
                    await self.send(f"PONG :{line.text}")
        except OSError:
            pass  # closed with RST
        finally:
            self._gone = True
            self._came.set()

    def _report(self, what: str, begin: int) -> str:
        return "\n".join([f"{self.nick}: {what}; there was", *(line.raw for line in self.lines[begin:][-40:])])


async def connect(
    port: int,
    nick: str,
    *,
    tls: ssl.SSLContext | None = None,
    login: Login | None = None,
    external: bool = False,
    password: str = "",
    caps: Iterable[str] = CAPS,
) -> Person:
    """Connect to *port* of this machine as *nick*, and return once the server says welcome; `Person.leave` ends it.

    With *login* it logs in by SASL PLAIN, with *external* by the certificate in *tls*; *password* is the server's.
    Of *caps* it asks for those that the server offers.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=HOST if tls else None)
    person = Person(nick, reader, writer)
    try:
        await person.register(caps, login, external=external, password=password)
    except BaseException:
        await person.leave()
        raise
    return person


class People:
    """Brings people, who leave when *stack* ends."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    async def come(
        self,
        port: int,
        *who: str | Login,
        tls: ssl.SSLContext | None = None,
        external: bool = False,
        password: str = "",
        caps: Iterable[str] = CAPS,
    ) -> list[Person]:
        """Connect everybody at once, since each takes a second; an account logs in by SASL, with its name as nick.

        For the rest see `connect`.
        """
        made = await asyncio.gather(
            *(
                connect(
                    port,
                    one if isinstance(one, str) else one.name,
                    login=None if isinstance(one, str) else one,
                    tls=tls,
                    external=external,
                    password=password,
                    caps=caps,
                )
                for one in who
            ),
            return_exceptions=True,
        )
        people = [one for one in made if isinstance(one, Person)]
        for person in people:
            self._stack.push_async_callback(person.leave)
        for one in made:
            if isinstance(one, BaseException):
                raise one
        return people
