"""AWS Signature Version 4: requests signed with a secret that is never sent, without any I/O.

A key is ``AKIA…:secret``, an opened session ``ASIA…:secret:token``.  Service and region are read off the
host, ``ec2.eu-west-1.amazonaws.com``; a host that names no region is one of ``us-east-1``.

Source: AWS Identity and Access Management User Guide, "Create a signed AWS API request".
"""

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote, unquote, unquote_plus, urlsplit

from omnibot.provider import Token
from omnibot.wire import Answer, Request

_ALGORITHM = "AWS4-HMAC-SHA256"
_GLOBAL = "us-east-1"
_UNRESERVED = "-_.~"
_MOST_SKEW = 240.0
"""Seconds by which our clock may differ from the service's, which refuses at 300."""

_REFUSED = frozenset({400, 401, 403})
_KEY = re.compile(r"[A-Za-z0-9]{4,128}")
_SECRET = re.compile(r"[!-9;-~]{1,256}")
_SESSION = re.compile(r"[!-~]{0,4096}")


@dataclass(frozen=True, slots=True)
class SigV4Signer:
    """A signature by HMAC-SHA256 over method, address, headers and body, good for some minutes."""

    clock: Callable[[], float] = time.time
    region: str = ""
    """Empty: as the host says."""

    service: str = ""

    def sign(self, request: Request, token: Token) -> Generator[Request, Answer, None]:
        """Yield *request* signed with *token*; once more by the service's clock, if ours is what it minds.

        What is sent has its query in the order and the escapes that were signed.

        Raises:
            ValueError: *token* is no such key; the text does not repeat it.
        """
        now = self.clock()
        answer = yield self._signed(request, token, now)
        theirs = _their_time(answer) if answer.status in _REFUSED else None
        if theirs is not None and abs(theirs - now) > _MOST_SKEW:
            yield self._signed(request, token, theirs)

    def _signed(self, request: Request, token: Token, now: float) -> Request:
        key, secret, session = _parts(token.access)
        url = urlsplit(request.url)
        service, region = _scope(url.hostname or "")
        service, region = self.service or service, self.region or region
        stamp = f"{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}"
        payload = hashlib.sha256(request.body).hexdigest()
        own = {"x-amz-date": stamp} | ({"x-amz-security-token": session} if session else {})
        own |= {"x-amz-content-sha256": payload} if service == "s3" else {}
        taken = {*own, "authorization", "cookie", "host", "x-amz-security-token"}
        kept = {name: said for name, said in request.headers.items() if name.lower() not in taken}
        signed = {"host": _host(request)} | own | _worth_signing(kept)
        names = ";".join(sorted(signed))
        query = _canonical_query(url.query)
        canonical = "\n".join(
            [
                request.method,
                _canonical_path(url.path, service),
                query,
                *(f"{name}:{signed[name]}" for name in sorted(signed)),
                "",
                names,
                payload,
            ]
        )
        scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
        to_sign = "\n".join([_ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        signature = _mac(_signing_key(secret, scope), to_sign).hex()
        said = f"{_ALGORITHM} Credential={key}/{scope}, SignedHeaders={names}, Signature={signature}"
        address = url._replace(path=url.path or "/", query=query, fragment="").geturl()
        return replace(request, url=address, headers={**kept, **own, "Authorization": said})


def _parts(access: str) -> tuple[str, str, str]:
    """Return id, secret and session token of *access*; a session token may have a colon in it."""
    key, _, rest = access.partition(":")
    secret, _, session = rest.partition(":")
    if not (_KEY.fullmatch(key) and _SECRET.fullmatch(secret) and _SESSION.fullmatch(session)):
        raise ValueError("this is no access key with its secret")
    return key, secret, session


def _scope(host: str) -> tuple[str, str]:
    """Return service and region of *host*."""
    labels = host.split(".")
    return labels[0], labels[1] if len(labels) > 3 else _GLOBAL


def _host(request: Request) -> str:
    """Return what the ``Host`` header of *request* will be."""
    return request.origin.partition("://")[2]


def _worth_signing(headers: dict[str, str]) -> dict[str, str]:
    """Return those of *headers* that have to be signed, as they are signed: lower-case names, runs of spaces as one."""
    found = {name.lower(): " ".join(said.split()) for name, said in headers.items()}
    return {name: said for name, said in found.items() if name == "content-type" or name.startswith("x-amz-")}


def _canonical_path(path: str, service: str) -> str:
    """Return *path*, which is escaped as it is sent, as it is signed: escaped once more, but for S3."""
    return quote(unquote(path) if service == "s3" else path, safe=f"/{_UNRESERVED}") or "/"


def _canonical_query(query: str) -> str:
    """Return *query* sorted, and with everything escaped that may be."""
    pairs = [part.partition("=") for part in query.split("&") if part]
    coded = sorted((_coded(name), _coded(said)) for name, _, said in pairs)
    return "&".join(f"{name}={said}" for name, said in coded)


def _coded(part: str) -> str:
    return quote(unquote_plus(part), safe=_UNRESERVED)


def _signing_key(secret: str, scope: str) -> bytes:
    """Return the key for one day, region and service, of which *scope* is made."""
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = _mac(key, part)
    return key


def _mac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def _their_time(answer: Answer) -> float | None:
    """Return what the service's clock said, in Unix seconds; None if it did not say."""
    try:
        return parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except (ValueError, OverflowError):
        return None
