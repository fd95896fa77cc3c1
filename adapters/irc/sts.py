"""Strict Transport Security (IRCv3): a server that was met over TLS is not met without it again.

Over a plain connection only ``port`` counts, and means to come back over TLS at once; over TLS only
``duration`` does, and means how long that policy holds from the end of the connection on.
"""

import re
from dataclasses import dataclass

from adapters.irc.effects import Effect, Forget, Keep

_LONGEST = 10 * 365 * 86400
"""Seconds that a policy is believed for at most."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Until *until*, Unix time, use TLS on *port*."""

    port: int
    duration: int
    until: float

    def __str__(self) -> str:
        """Return what `read` reads."""
        return f"{self.port} {self.duration} {self.until:.0f}"


def read(kept: str) -> Policy | None:
    """Return the policy that was kept; None where it is none."""
    found = re.fullmatch(r"([0-9]{1,5}) ([0-9]{1,12}) ([0-9]{1,12})", kept)
    return Policy(int(found[1]), int(found[2]), float(found[3])) if found and 0 < int(found[1]) < 65536 else None


def _number(value: str, key: str, most: int) -> int | None:
    for pair in value.split(","):
        name, _, number = pair.partition("=")
        if name == key and re.fullmatch(r"[0-9]{1,12}", number) and int(number) <= most:
            return int(number)
    return None


class Sts:
    """The policy of one host."""

    def __init__(self, host: str, port: int, secure: bool) -> None:
        """Begin with the address in the configuration, and whether that is over TLS."""
        self._key = key(host)
        self._port = port
        self._secure = secure
        self._policy: Policy | None = None
        self._upgraded: int | None = None
        self._renewable = False
        """Whether the server gave the policy on this connection."""

    def recall(self, kept: str) -> None:
        """Take back what an earlier process *kept*; empty for nothing."""
        self._policy = read(kept)

    def where(self, wall: float) -> tuple[int, bool]:
        """Return the port to connect to at Unix time *wall*, and whether over TLS."""
        if self._secure:
            return self._port, True
        if self._upgraded is not None:
            return self._upgraded, True
        if self._policy is not None and wall < self._policy.until:
            return self._policy.port, True
        return self._port, False

    def upgrade(self, value: str) -> int | None:
        """Return the port to come back to over TLS, by the *value* of the capability on a plain connection; or None."""
        port = _number(value, "port", 65535)
        self._upgraded = port or self._upgraded
        return port or None

    def learn(self, value: str, wall: float) -> list[Effect]:
        """Take the *value* of the capability on a connection over TLS; return what is to be kept or forgotten."""
        duration = _number(value, "duration", 10**12)
        if duration is None:
            return []
        if duration == 0:
            had, self._policy, self._upgraded, self._renewable = self._policy, None, None, False
            return [Forget(self._key)] if had else []
        duration = min(duration, _LONGEST)
        self._renewable = True
        self._policy = Policy(self.where(wall)[0], duration, wall + duration)
        return [Keep(self._key, str(self._policy))]

    def lost(self, wall: float) -> list[Effect]:
        """Return what is to be kept at the end of a connection: the policy begins anew then."""
        if not self._renewable or self._policy is None:
            return []
        self._renewable = False
        self._policy = Policy(self._policy.port, self._policy.duration, wall + self._policy.duration)
        return [Keep(self._key, str(self._policy))]


def key(host: str) -> str:
    """Return under which key the policy of *host* is kept."""
    return f"sts:{host.lower()}"
