"""The rig's own connection to an IRC server: an operator, who waits for every answer.

It is plain blocking code, since the server's fixtures are; each call takes a few milliseconds.
"""

import socket
from collections.abc import Sequence
from itertools import count

from servers.irc.line import Line, parse

LIMIT = 20.0
"""Seconds until an answer is there at the latest."""

NICK = "rig"


class Rig:
    """An operator on the server whose port for the rig is *port*; InspIRCd lets it in after a second."""

    def __init__(self, port: int, password: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), LIMIT)
        self._input = self._socket.makefile("r", encoding="utf-8", errors="replace", newline="\n")
        self._marks = count()
        self._send(f"NICK {NICK}", f"USER {NICK} 0 * :The rig")
        self._until("001")
        self._send(f"OPER {NICK} {password}")
        self._until("381")

    def close(self) -> None:
        """Go."""
        self._input.close()
        self._socket.close()

    def ask(self, *lines: str) -> list[Line]:
        """Send *lines* and return everything that the server says until it has done them."""
        mark = f"mark-{next(self._marks)}"
        self._send(*lines, f"PING {mark}")
        return self._until("PONG", mark)

    def services(self, service: str, *commands: str) -> list[str]:
        """Tell *service*, for example ``NickServ``, to do *commands*, and return what it says to them."""
        mark = f"\x01PING {next(self._marks)}\x01"
        self._send(*(f"PRIVMSG {service} :{command}" for command in (*commands, mark)))
        said = self._until("NOTICE", mark, fatal=("ERROR", "401"))
        return [
            line.text.replace("\x02", "") for line in said[:-1] if line.command == "NOTICE" and line.nick == service
        ]

    def _send(self, *lines: str) -> None:
        self._socket.sendall("".join(f"{line}\r\n" for line in lines).encode())

    def _until(self, command: str, last: str = "", fatal: Sequence[str] = ("ERROR",)) -> list[Line]:
        """Read up to the line *command*, whose last parameter is *last* unless that is empty."""
        seen = list[Line]()
        for raw in self._input:
            line = parse(raw.rstrip("\r\n"))
            seen.append(line)
            if line.command == "PING":
                self._send(f"PONG :{line.text}")
            if line.command == command and last in ("", line.text):
                return seen
            assert line.command not in fatal, line.raw
        raise ConnectionError(
            "\n".join(["the server closed the rig's connection:", *(line.raw for line in seen[-20:])])
        )
