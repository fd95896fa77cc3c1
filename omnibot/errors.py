"""What can go wrong, and who may hear of it.

The tree:

* OmnibotError
  + UserError                    shown to the person as it stands
    - NotLinked                  no account (or no longer a usable one) where the command needs one
    - UsageError                 the words do not fit the command
    - Denied                     policy, assurance or membership forbids it
    - Upstream                   the service answered with an error, or not at all
  + ConfigError                  the operator's files; carries every problem at once
  + NotSent                      a reply did not go out
    - NoPrivateWay               the network has no way to reach that person alone
    - NotDelivered               the network did not take it; says whether to try again
  + Refused                      a network turned the bot away for good; carries the cure
  + VaultError                   nothing was opened
    - KeyMissing                 the key a row was made under is not in the key file
    - Tampered                   a row's tag or seal does not fit the row
    - GrantError                 no grant, an ended one, or one for somebody else
  + StorageTrouble               what the bot keeps cannot be written or read: a full disk, say
  + OAuthError                   the authorization server said no
  + AddressRefused               the address guard would not connect

A `UserError` holds one text, safe for the person.  Everything else is for the log:
the dispatcher says "Something broke (ref 7F3A)" and logs the rest.  No text of
either kind ever holds a token.
"""

from dataclasses import dataclass
from typing import Literal


class OmnibotError(Exception):
    """The root of everything omnibot raises by itself."""


class UserError(OmnibotError):
    """A mistake or a state that the person can mend; its text is safe to show."""


class NotLinked(UserError):
    """The person has no usable account where the command needs one.

    The dispatcher answers it with a private link, never with this text alone.
    """

    def __init__(self, provider: str, instance: str = "", *, reason: str = "") -> None:
        """Name the *provider* (and *instance*, if it matters) and the *reason* if there is more to say."""
        where = f"{provider}@{instance}" if instance else provider
        super().__init__(reason or f"You have not linked {where} yet.")
        self.provider = provider
        self.instance = instance


class UsageError(UserError):
    """The words of a message do not fit the command they name."""


class Denied(UserError):
    """Policy, assurance or membership forbids the command to this speaker, here or now."""


class Upstream(UserError):
    """The service behind an account answered with an error, or did not answer.

    The text is ours; nothing of the service's own body is ever in it.
    """

    def __init__(self, text: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        """Say *text*; *status* is HTTP's, *retry_after* seconds the service asked us to wait."""
        super().__init__(text)
        self.status = status
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a file of the operator's: where, what, and how to mend it."""

    where: str
    """File and line, for example ``config.yaml:14``."""

    key: str
    """Dotted path of the key, for example ``networks.libera.port``; empty for the whole file."""

    what: str
    """What is wrong, with the value: ``"66x7" is not a port``."""

    cure: str = ""
    """How to mend it, as an imperative sentence."""

    def __str__(self) -> str:
        """Return the one line an operator reads."""
        head = ": ".join(part for part in (self.where, self.key, self.what) if part)
        return f"{head}. {self.cure}" if self.cure else head


class ConfigError(OmnibotError):
    """The operator's configuration, key or catalogue cannot be used; every problem is in it."""

    def __init__(self, *problems: Problem) -> None:
        """Collect *problems*, all that were found."""
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class NotSent(OmnibotError):
    """A reply did not go out."""


class NoPrivateWay(NotSent):
    """The network has, just now, no way to reach that identity and nobody else."""


class NotDelivered(NotSent):
    """The network did not take the reply; *retryable* says whether it might later."""

    def __init__(self, text: str, *, retryable: bool) -> None:
        """Say why (*text*, for the log) and whether a later try may succeed."""
        super().__init__(text)
        self.retryable = retryable


class Refused(OmnibotError):
    """A network turned the bot away for good: bad token, missing intent, SASL failure.

    Its supervisor says it once, with the *cure*, and does not try again.
    """

    def __init__(self, text: str, *, cure: str) -> None:
        """Say what was refused and how the operator mends it."""
        super().__init__(text)
        self.cure = cure


class VaultError(OmnibotError):
    """The vault opened nothing."""


class KeyMissing(VaultError):
    """A row was made under a key that the key file does not hold."""

    def __init__(self, key_id: str) -> None:
        """Name the *key_id*; it is not secret."""
        super().__init__(f"key {key_id or '(none)'} is not in the key file")
        self.key_id = key_id


class Tampered(VaultError):
    """A row's tag or seal does not fit it: somebody wrote to the database behind our back."""

    def __init__(self, table: str, row: str) -> None:
        """Name the *table* and the *row*'s primary key."""
        super().__init__(f"{table} row {row} does not carry the tag it should")
        self.table = table
        self.row = row


class GrantError(VaultError):
    """A token was asked for without a grant, under an ended one, or under somebody else's."""


type Storage = Literal["full", "read-only", "damaged", "failing", "locked"]
"""What is wrong with a disk, or with a file on it."""

_STORAGE: dict[Storage, tuple[str, str, str]] = {
    "full": ("the disk is full", "My disk is full", "Free some space: the bot goes on by itself."),
    "read-only": (
        "it can only be read",
        "I can only read what I keep, and not write it",
        "See whether its file system went read-only, and who owns it: the bot goes on by itself.",
    ),
    "damaged": (
        "it is damaged",
        "What I keep is damaged",
        "Stop the bot, keep a copy of the file as it is, and put a backup back: omnibot restore FILE",
    ),
    "failing": (
        "the disk does not answer as it should",
        "My disk is failing",
        "Look at the system's own log; the bot goes on by itself.",
    ),
    "locked": (
        "another program holds it locked",
        "Another program keeps me from what I keep",
        "End that program: nothing but the bot should write there.",
    ),
}


class StorageTrouble(OmnibotError):
    """What the bot keeps cannot be written, or read; nothing of what was being written stays.

    Its text is the operator's; `said` is for whoever is told that what they wanted was not done.
    """

    def __init__(self, kind: Storage, where: str) -> None:
        """Name what is wrong, and the file."""
        what, _, self.cure = _STORAGE[kind]
        super().__init__(f"{where}: {what}. {self.cure}")
        self.kind = kind
        self.where = where

    @property
    def said(self) -> str:
        """The sentence for the person who speaks."""
        return f"{_STORAGE[self.kind][1]}: nothing was changed here. My operator has to mend that; try again later."


class OAuthError(OmnibotError):
    """The authorization server, or an answer said to come from it, was refused or refuses.

    *code* is the RFC 6749 section 5.2 error code, or one of ours (``bad_answer``,
    ``issuer_mismatch``); *status* the HTTP status where there was one.  The server's
    own description is kept out of the text: it may hold anything.
    """

    def __init__(self, code: str, *, status: int | None = None) -> None:
        """Keep the *code* if it is made as those are, of small letters, else ``bad_answer``: a token has digits."""
        plain = code.isascii() and code.islower() and code.replace("_", "").isalpha()
        safe = code if plain and len(code) <= 40 else "bad_answer"
        super().__init__(safe)
        self.code = safe
        self.status = status


class AddressRefused(OmnibotError):
    """The address guard would not send a request there.

    The text is the same for every reason, so that it tells a prober nothing (A20).
    """

    def __init__(self) -> None:
        """Say the one sentence."""
        super().__init__("That address is not one I may call.")
