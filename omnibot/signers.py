"""How a request is made to act as a person: one class for each way, none with any I/O.

A signer yields the signed request and is sent the answer; one that needs no second try
ends there.  What a skill put in the way of the credential is taken out: a request is
signed by the person's token or not at all.
"""

import contextlib
import json
import re
from base64 import b64encode
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, replace
from urllib.parse import quote

from omnibot.provider import ClientCredential, Instance, Signer, Token
from omnibot.sigv4 import SigV4Signer
from omnibot.wire import Answer, Request

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
"""A header's name (RFC 9110 section 5.6.2)."""

_VALUE = re.compile(r"[!-~]+( +[!-~]+)*")
"""A credential that a header can carry; a line break would write a header of its own."""

_TAKEN = frozenset({"connection", "content-length", "cookie", "host", "transfer-encoding"})
"""Headers that are no place for a credential."""

_OURS = _TAKEN | {
    *("authorization", "proxy-authorization", "user-agent", "accept", "content-type"),
    *("x-http-method", "x-http-method-override", "x-method-override"),  # a GET that is none
}
"""Headers that neither a skill nor a catalogue sets: the core does."""

_FORM = "application/x-www-form-urlencoded"
_MOST_STEPS = 5

_NO_CRUMB = b"No valid crumb was included in the request"
_COOKIE = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}=[!#-+\--:<-\[\]-~]{0,1000}")
"""A cookie's name and value (RFC 6265 section 4.1.1)."""


@dataclass(frozen=True, slots=True)
class BearerSigner:
    """The token behind ``Authorization: Bearer`` (RFC 6750)."""

    def sign(self, request: Request, token: Token) -> Generator[Request, Answer, None]:
        """Yield *request* with the access token in its header."""
        yield _with_header(request, "Authorization", f"Bearer {_sendable(token.access)}")


@dataclass(frozen=True, slots=True)
class HeaderSigner:
    """The token by itself in a header that the service names: ``X-Redmine-API-Key``."""

    name: str

    def sign(self, request: Request, token: Token) -> Generator[Request, Answer, None]:
        """Yield *request* with the access token as the header's value."""
        yield _with_header(request, self.name, _sendable(token.access))


@dataclass(frozen=True, slots=True)
class BasicSigner:
    """A token of the form ``user:key`` behind ``Authorization: Basic`` (RFC 7617)."""

    def sign(self, request: Request, token: Token) -> Generator[Request, Answer, None]:
        """Yield *request* with user and key in its header, as UTF-8."""
        yield _with_header(request, "Authorization", f"Basic {b64encode(token.access.encode()).decode()}")


@dataclass(frozen=True, slots=True)
class CrumbSigner:
    """``Authorization: Basic``, and for a POST the crumb that Jenkins may want beside it.

    It wants one of whoever signs in by password; by API token it does not.  So it is asked for once a POST has been
    refused for the lack of it, which has changed nothing.  A crumb is good in the session that it was made in.
    Source: the pages "CSRF Protection" and "Remote Access API" of www.jenkins.io.
    """

    base: str
    """The instance's address, with its context path and no slash at the end."""

    def sign(self, request: Request, token: Token) -> Generator[Request, Answer, None]:
        """Yield *request*; where it lacked a crumb, a request for one, and *request* again with what came of that."""
        signed = next(BasicSigner().sign(request, token))
        answer = yield signed
        if request.method != "POST" or answer.status != 403 or _NO_CRUMB not in answer.body:
            return
        plain = Request("GET", self.base + "/crumbIssuer/api/json", {"Accept": "application/json"})
        issued = yield next(BasicSigner().sign(plain, token))
        yield replace(signed, headers={**signed.headers, **_crumb(issued), **_session(issued)})


@dataclass(frozen=True, slots=True)
class AuthorizationSigner:
    """The token in an ``Authorization`` header of the service's own form."""

    template: str
    """``{token}`` and ``{client_id}`` stand in it."""

    client_id: str = ""

    def sign(self, request: Request, token: Token) -> Generator[Request, Answer, None]:
        """Yield *request* with the filled template in its header."""
        said = self.template.replace("{client_id}", self.client_id).replace("{token}", _sendable(token.access))
        yield _with_header(request, "Authorization", said)


@dataclass(frozen=True, slots=True)
class OAuth1Signer:
    """A signature by HMAC-SHA1 over method, address, query and form (RFC 5849 section 3)."""

    client: ClientCredential
    callback: str = ""
    """Sent where temporary credentials are asked for (section 2.1)."""

    verifier: str = ""
    """Sent where they are exchanged (section 2.3)."""

    def sign(self, request: Request, token: Token) -> Generator[Request, Answer, None]:
        """Yield *request* signed by the client's secret and the token's; an empty token is none."""
        from authlib.oauth1.rfc5849.client_auth import ClientAuth

        secret = self.client.client_secret
        auth = ClientAuth(
            self.client.client_id,
            secret.value if secret else "",
            token=token.access or None,
            token_secret=token.secret or None,
            redirect_uri=self.callback or None,
            verifier=self.verifier or None,
        )
        kind = next((said for name, said in request.headers.items() if name.lower() == "content-type"), "")
        signed = request.body.decode() if kind.startswith(_FORM) else ""
        address, mark, query = request.url.partition("?")
        url = address + mark + quote(query, safe="%=&+")  # strict, as what is signed has to be (section 3.4.1.3.1)
        try:
            _, headers, _ = auth.sign(request.method, url, {"Content-Type": _FORM}, signed)
        except ValueError:  # its words hold what was asked
            raise ValueError("this request cannot be signed") from None
        yield _with_header(replace(request, url=url), "Authorization", headers["Authorization"])


def signer_of(instance: Instance, *, by_key: bool = False) -> Signer:
    """Return what signs requests to *instance*; *by_key*: for an account that is linked by a key."""
    if instance.is_oauth1 and not by_key:
        return OAuth1Signer(instance.client)
    provider = instance.provider
    name = (by_key and provider.key.signer) or provider.signer
    return signer_named(name, client_id=instance.client.client_id, base=instance.api)


def signer_named(name: str, *, client_id: str = "", base: str = "") -> Signer:
    """Return the signer that the catalogue calls *name*.

    It is ``bearer``, ``basic``, ``crumb``, ``header:<Name>`` or ``authorization:<template>``; *client_id* is for those
    that send it along, *base* the API's address for those that ask there for something first.

    Raises:
        ValueError: there is none of that name.
    """
    if name == "bearer":
        return BearerSigner()
    if name == "basic":
        return BasicSigner()
    if name == "crumb":
        return CrumbSigner(base)
    if name == "sigv4":
        return SigV4Signer()
    kind, _, more = name.partition(":")
    if kind == "header" and _NAME.fullmatch(more) and more.lower() not in _TAKEN:
        return HeaderSigner(more)
    if kind == "authorization" and "{token}" in more and _VALUE.fullmatch(more):
        return AuthorizationSigner(more, client_id)
    raise ValueError(f'"{name}" is not a way to sign requests')


async def converse(
    signer: Signer, request: Request, token: Token, send: Callable[[Request], Awaitable[Answer]]
) -> Answer:
    """Let *signer* say *request*, and what follows of the answers, through *send*; return the last answer."""
    with contextlib.closing(signer.sign(request, token)) as steps:
        answer = await send(next(steps))
        for _ in range(_MOST_STEPS):
            try:
                following = steps.send(answer)
            except StopIteration:
                break
            answer = await send(following)
    return answer


def may_set(name: str) -> bool:
    """Whether a skill, or a catalogue's file, may set the header *name*: those of the core are not theirs."""
    return bool(_NAME.fullmatch(name)) and name.lower() not in _OURS


def _with_header(request: Request, name: str, value: str) -> Request:
    """Return *request* with *name* set to *value*, and nothing else under that name or another credential."""
    gone = {name.lower(), "authorization", "cookie"}
    kept = {key: said for key, said in request.headers.items() if key.lower() not in gone}
    return replace(request, headers={**kept, name: value})


def _sendable(credential: str) -> str:
    """Return *credential* if a header can carry it.

    Raises:
        ValueError: it cannot; the text does not repeat it.
    """
    if not _VALUE.fullmatch(credential):
        raise ValueError("this credential cannot be sent in a header")
    return credential


def _crumb(issued: Answer) -> dict[str, str]:
    """Return the header that *issued* says; none where it says none, or one that is not for a crumb."""
    try:
        said = json.loads(issued.body) if issued.ok else None
    except (ValueError, RecursionError):
        return {}
    name, crumb = (said.get("crumbRequestField"), said.get("crumb")) if isinstance(said, dict) else (None, None)
    if not isinstance(name, str) or not isinstance(crumb, str) or not may_set(name) or not _VALUE.fullmatch(crumb):
        return {}
    return {name: crumb}


def _session(issued: Answer) -> dict[str, str]:
    """Return the header with the cookies that *issued* sets: they are kept for this one conversation."""
    said = (line.partition(";")[0].strip() for line in issued.headers.get("set-cookie", "").split("\n"))
    cookies = "; ".join(one for one in said if _COOKIE.fullmatch(one))
    return {"Cookie": cookies} if cookies else {}
