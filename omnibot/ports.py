"""A free port of this machine, for the demo and for tests."""

import errno
import itertools
import secrets
import socket
from collections.abc import Iterator, Sequence

_PORTS = range(20_000, 32_768)
"""Below those that systems take for outgoing connections: one of these is still free a moment later."""

_TRIES = 200


def in_turn(ports: Sequence[int]) -> Iterator[int]:
    """Yield *ports* again and again, one after the other from anywhere."""
    first = secrets.randbelow(len(ports))
    return itertools.cycle([*ports[first:], *ports[:first]])


_turn = in_turn(_PORTS)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on just now; none comes again before all others have.

    Raises:
        OSError: none was found.
    """
    for port in itertools.islice(_turn, _TRIES):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(errno.EADDRINUSE, "no free port was found")
