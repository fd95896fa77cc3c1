"""A free port of this machine, for the demo and for tests."""

import errno
import secrets
import socket

_PORTS = range(20_000, 32_768)
"""Below those that systems take for outgoing connections: one of these is still free a moment later."""

_TRIES = 200


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on just now.

    Raises:
        OSError: none was found.
    """
    for _ in range(_TRIES):
        port = secrets.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(errno.EADDRINUSE, "no free port was found")
