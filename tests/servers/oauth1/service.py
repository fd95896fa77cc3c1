"""What the OAuth 1.0a services have in common for a test: the consumer, where things are, and who did what."""

from dataclasses import dataclass
from typing import Protocol

KEY = "omnibotConsumerKey0001"
SECRET = "omnibot consumer & secret+more"
"""It has in it what has to be encoded before it signs anything (RFC 5849 section 3.4.2)."""


@dataclass(frozen=True, slots=True)
class Places:
    """Paths of a service, and names in what it is sent and says."""

    request: str
    authorize: str
    token: str
    revoke: str
    """A POST here ends the token that it is signed with."""

    whoami: str
    login: str
    """Where in the answer of `whoami` the login is, with dots."""

    posts: str
    """A POST here says something as the token's owner."""

    text: str
    """The field of a post that has its text."""


class OAuth1Service(Protocol):
    """A service where alice, bob and carol have accounts, with the password ``pw-<login>``.

    The page shows a PIN as ``<kbd id="pin">…</kbd>``, and has the button *Deny*.
    """

    @property
    def origin(self) -> str:
        """Its address, without a slash at the end."""

    @property
    def places(self) -> Places:
        """Where things are."""

    @property
    def record(self) -> list[str]:
        """What people did since the test began: ``linked user=``, ``post by user=alice: hello``, ``revoked by``."""
