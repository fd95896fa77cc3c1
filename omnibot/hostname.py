"""Names of hosts as people write them: compared, kept and shown in ASCII, as DNS has them.

A name goes through the mapping of UTS 46 and the rules of IDNA 2008 (RFC 5891).  What looks like
another letter shows as ``xn--…``, and what merely is written in another way (full width, upper
case, with something invisible in it) becomes what it stands for (A22).
"""

import re

LONGEST = 63
"""Characters of a host that people may name: it is what the instance is called."""

_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""A last label that makes an IPv4 address of a name, in whatever base (WHATWG URL, "ends in a number")."""


def ascii_host(said: str) -> str:
    """Return the host that *said* names, in lower-case ASCII: at least two labels, and nothing beside it.

    No address of digits in any spelling, no port, path or user, and no name that only a network of
    its own could know.

    Raises:
        ValueError: it is no such name.
    """
    import idna  # a fortieth of a second, for those alone who name a host

    if len(said) > 4 * LONGEST:  # mapping takes longer than in proportion
        raise ValueError("too long for a host")
    host = idna.encode(said, uts46=True, std3_rules=True).decode("ascii").removesuffix(".")
    labels = host.split(".")
    if len(host) > LONGEST or len(labels) < 2 or _NUMBER.fullmatch(labels[-1]):
        raise ValueError("not a host by name")
    return host


def readable(host: str) -> str:
    """Return what a *host* in ASCII says in its own letters; empty where that is the same."""
    if "xn--" not in host:
        return ""
    import idna

    return idna.decode(host)
