"""A one-time code opens a session that is good for an hour: for accounts whose key alone may not do everything.

Invariant: of an opened session nothing is on the disk.  Its credentials are sealed to the person, as a token is,
and kept in memory until it ends; they are opened under a grant for that account alone.  A session belongs to one
generation of one account, and to the key pair that its person had: what is unlinked, moved, renewed or rekeyed has
none any more.  Of a code only a keyed hash is kept, for some minutes, so that one that was said is refused when it
is said again (A54), whatever the service would say.

The conversation with the service is without I/O: `session_request`, and `read_session` for the answer.
Source of ``sts``: the API reference of AWS STS, "GetSessionToken".
"""

import asyncio
import contextlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from omnibot import accounts
from omnibot.accounts import Account
from omnibot.bodies import read_body
from omnibot.database import Database
from omnibot.errors import Upstream, UserError, VaultError
from omnibot.markup import code as code_span
from omnibot.markup import escape
from omnibot.provider import Instance, Token
from omnibot.trouble import trouble
from omnibot.vault import PersonKeys, Sealer, TokenHead, same
from omnibot.wire import Answer, Request

_SECONDS = 3600
"""How long an opened session is good: what STS gives by itself is half a day."""

_EARLY = 30.0
"""Seconds before its end from which a session is used no more."""

_SPENT = 300.0
"""Seconds for which a code that was said is remembered; it is good for two minutes at most (RFC 6238, ±1 step)."""

_MOST_CODES = 5
"""Codes of one account within `_SPENT` seconds: nobody gets to guess."""

_CODE = re.compile(r"[0-9]{6}")
_DEVICE = re.compile(r"[\w+=/:,.@-]{9,256}", re.ASCII)
_WORD = re.compile(r"[!-9;-~]{1,4096}")
_CREDENTIALS = "GetSessionTokenResponse.GetSessionTokenResult.Credentials"


def check_code(code: str) -> None:
    """Return if *code* is made as one-time codes are.

    Raises:
        UserError: it is not; the text does not repeat it.
    """
    if not _CODE.fullmatch(code):
        raise UserError("The code is the six digits that your device shows now.")


def session_request(instance: Instance, code: str, device: str) -> Request:
    """Return the request, not yet signed, that asks for a session at *instance*; *code* is in its body.

    Raises:
        UserError: there is no such thing there, or *device* is none.
    """
    if instance.provider.step_up != "sts":
        raise UserError(f"{escape(instance.title)} opens no sessions by one-time codes.")
    if not _DEVICE.fullmatch(device):
        raise UserError("That is not the name of a device: AWS calls it a serial number, `arn:aws:iam::…:mfa/…`.")
    said = {"Action": "GetSessionToken", "Version": "2011-06-15", "DurationSeconds": str(_SECONDS)}
    said |= {"SerialNumber": device, "TokenCode": code}
    headers = {"Accept": instance.provider.accept, "Content-Type": "application/x-www-form-urlencoded"}
    return Request("POST", f"{instance.api}/", headers, urlencode(said).encode())


def read_session(instance: Instance, answer: Answer, device: str) -> Token:
    """Return the credentials in *answer*, which `session_request` got.

    Raises:
        UserError: the code, or the *device*, was not taken.
        Upstream: something else went wrong; nothing of the answer is in the text.
    """
    if answer.status == 403:
        raise UserError(
            f"{escape(instance.title)} did not take that code for {code_span(device)}. Wait for the next one that your "
            "device shows (each is good once, for about half a minute), and see whether that is your device."
        )
    if not answer.ok:
        raise trouble(instance, answer)
    found: Any = read_body(answer)
    for name in _CREDENTIALS.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    said = found if isinstance(found, Mapping) else {}
    parts = [str(said.get(name, "")) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")]
    try:
        expires = datetime.fromisoformat(str(said.get("Expiration", "")))
    except ValueError:
        expires = None
    if expires is None or expires.tzinfo is None or not all(map(_WORD.fullmatch, parts)):
        raise Upstream(f"{escape(instance.title)} opened a session and did not say it in a way that I can read.")
    return Token(":".join(parts), expires=expires.timestamp())


@dataclass(frozen=True, slots=True)
class _Session:
    """Credentials at rest, and whose they are."""

    person: str
    public_key: bytes
    generation: int
    until: float
    sealed: bytes = field(repr=False)

    def fits(self, account: Account) -> bool:
        """Whether it is one of *account*, as that is now."""
        active = account.status == "active"
        return active and (account.person, account.generation) == (self.person, self.generation)


class StepUps:
    """The sessions that are open, and the codes that were said."""

    def __init__(self, database: Database, sealer: Sealer, clock: Callable[[], float] = time.time) -> None:
        """Seal with *sealer*; let go of sessions when *database* says that something of their person changes."""
        self._database = database
        self._sealer = sealer
        self._clock = clock
        self._sessions: dict[str, _Session] = {}
        self._spent: dict[tuple[str, str, str], list[tuple[float, bytes]]] = {}
        self._looking: set[asyncio.Task[None]] = set()
        database.watch(self._changed)

    def __repr__(self) -> str:
        """Say how many; nothing of whose."""
        return f"<StepUps {len(self._sessions)}>"

    def spend(self, account: Account, code: str) -> None:
        """Note that *code* was said for *account*, before it is sent: it is good for one try.

        Which account at the service it is counts, and not which link to it.

        Raises:
            UserError: it was said before, or too many were.
            KeyMissing: there is no key to hash it under.
        """
        self._prune()
        codes = self._spent.setdefault((account.provider, account.instance, account.external), [])
        if any(same(known, one) for known in self._sealer.code_hashes(_purpose(account, code)) for _, one in codes):
            raise UserError("That code was said before, and each is good once. Wait for the next one.")
        if len(codes) >= _MOST_CODES:
            raise UserError("That were many codes in a short time. Wait five minutes, then say the one of that moment.")
        codes.append((self._clock(), self._sealer.code_hash(_purpose(account, code))))

    def keep(self, account: Account, keys: PersonKeys, head: TokenHead, token: Token) -> float:
        """Keep *token* for *account*, in place of another session; return when it ends, in Unix seconds."""
        assert token.expires is not None, "a session has an end"
        sealed = self._sealer.seal(keys.public_key, head, token)
        self._sessions[account.id] = _Session(
            account.person, keys.public_key, account.generation, token.expires, sealed
        )
        return token.expires

    def sealed(self, account: Account, keys: PersonKeys) -> bytes | None:
        """Return the sealed credentials of the session of *account* that is open, if there is one."""
        self._prune()
        session = self._sessions.get(account.id)
        if session is None:
            return None
        if not session.fits(account) or session.public_key != keys.public_key:
            self.drop(account.id)
            return None
        return session.sealed

    def until(self, account: Account) -> float | None:
        """Return when the session of *account* ends, in Unix seconds; None if there is none."""
        self._prune()
        session = self._sessions.get(account.id)
        return session.until if session is not None and session.fits(account) else None

    def drop(self, account: str) -> None:
        """Forget the session of *account*."""
        self._sessions.pop(account, None)

    async def settle(self) -> None:
        """Return when what changed has been looked at."""
        while self._looking:
            await asyncio.wait(self._looking)

    def _prune(self) -> None:
        now = self._clock()
        self._sessions = {one: said for one, said in self._sessions.items() if said.until - _EARLY > now}
        fresh = {one: [said for said in codes if said[0] + _SPENT > now] for one, codes in self._spent.items()}
        self._spent = {one: codes for one, codes in fresh.items() if codes}

    def _changed(self, person: str) -> None:
        """Look, aside, whether the sessions of *person* still fit their accounts."""
        if any(one.person == person for one in self._sessions.values()):
            task = asyncio.create_task(self._look(person), name="sessions of changed accounts")
            self._looking.add(task)
            task.add_done_callback(self._looking.discard)

    async def _look(self, person: str) -> None:
        for account in [one for one, session in self._sessions.items() if session.person == person]:
            current = None
            with contextlib.suppress(VaultError):  # said wherever it matters: here it is one more reason
                current = await accounts.get(self._database, self._sealer, account)
            session = self._sessions.get(account)
            if session is not None and (current is None or not session.fits(current)):
                self.drop(account)


def _purpose(account: Account, code: str) -> str:
    return f"step-up:{account.provider}:{account.instance}:{account.external}:{code}"
