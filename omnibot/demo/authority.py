"""The authorization server itself: Authlib's, without I/O and a little stricter than it comes.

What goes in and out is ours and typed: form fields and headers in, an `Answer` out.
"""

import base64
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import AuthorizationServer, InvalidRequestError

from omnibot.demo.grants import Client, CodeGrant, Fields, RefreshGrant, Request, Revocation, S256Only
from omnibot.demo.ledger import SCOPES, Ledger, TokenAnswer


class NoWayBack(Exception):
    """Client or redirect URI cannot be trusted: tell the person, and redirect nobody."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send: a JSON object, or nothing but a ``Location``."""

    status: int
    body: Mapping[str, Any] = field(default_factory=dict)
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def location(self) -> str | None:
        """Where the answer redirects to, if it does."""
        return dict(self.headers).get("Location")


@dataclass(frozen=True, slots=True)
class Question:
    """What the person is asked to consent to."""

    client_id: str
    redirect_uri: str
    scopes: tuple[str, ...]


class Rules(Protocol):
    """What the provider's owner can change while it runs; `DemoProvider` says what each does."""

    token_seconds: int | None
    grant_scopes: tuple[str, ...] | None
    iss: bool
    iss_override: str | None

    @property
    def origin(self) -> str:
        """The issuer."""


class Authority(AuthorizationServer):  # type: ignore[misc]
    """Authorization codes with PKCE, rotating refresh tokens, and revocation; nothing else."""

    def __init__(self, ledger: Ledger, rules: Rules) -> None:
        super().__init__(scopes_supported=list(SCOPES))
        self.ledger = ledger
        self.rules = rules
        self.register_grant(CodeGrant, [S256Only()])
        self.register_grant(RefreshGrant)
        self.register_endpoint(Revocation)

    def question(self, query: Fields) -> Question | Answer:
        """What to ask the person, or the redirect that says why nothing is asked.

        Raises:
            NoWayBack: the client is unknown, or the redirect URI is not one of its own.
        """
        request = Request("GET", self.rules.origin, query)
        redirect_uri = self._trusted_redirect_uri(request)
        try:
            _check_response_type(request)
            self.get_consent_grant(request)
        except OAuth2Error as error:
            error.state, error.redirect_uri = request.payload.state, redirect_uri
            return _answer(self.handle_error_response(request, error))
        scope = request.payload.scope or ""
        return Question(request.payload.client_id, redirect_uri, tuple(scope.split()))

    def decide(self, query: Fields, user: str | None) -> Answer:
        """The redirect that answers a *query* fit to be asked: a code of *user*'s, or for None the denial."""
        request = Request("GET", self.rules.origin, query)
        grant = self.get_consent_grant(request)
        return _answer(self.create_authorization_response(request, grant_user=user, grant=grant))

    def exchange(self, form: Fields, headers: Mapping[str, str]) -> Answer:
        """What the token endpoint answers."""
        return self._direct(form, headers, self.create_token_response)

    def revoke(self, form: Fields, headers: Mapping[str, str]) -> Answer:
        """What the revocation endpoint answers."""
        return self._direct(form, headers, lambda sent: self.create_endpoint_response("revocation", sent))

    def _trusted_redirect_uri(self, request: Request) -> str:
        # Asked before Authlib is: it puts the URI into an error description, and raises a
        # ValueError from there if the URI holds a quote or anything beyond ASCII.
        for name in ("client_id", "redirect_uri"):
            if len(request.payload.datalist.get(name, ())) != 1:
                raise NoWayBack(f"The request has to name exactly one {name}.")
        client = self.ledger.clients.get(request.payload.client_id)
        if client is None:
            raise NoWayBack(f"There is no client called {request.payload.client_id}.")
        redirect_uri = str(request.payload.redirect_uri)
        if redirect_uri not in client.redirect_uris:
            raise NoWayBack(f"{client.client_id} has not registered {redirect_uri}.")
        return redirect_uri

    def _direct(self, form: Fields, headers: Mapping[str, str], respond: Callable[[Request], Any]) -> Answer:
        request = Request("POST", self.rules.origin, form, headers)
        problem = _ambiguity(request)
        if problem is not None:
            return _answer(self.handle_error_response(request, InvalidRequestError(problem)))
        return _answer(respond(request))

    # What Authlib asks of a framework.

    def query_client(self, client_id: str) -> Client | None:
        """The client as Authlib wants it."""
        client = self.ledger.clients.get(client_id)
        return Client(client) if client else None

    def create_oauth2_request(self, request: Request) -> Request:
        """*request* as it is: it was made in Authlib's form."""
        return request

    def handle_response(self, status: int, body: Mapping[str, Any], headers: Iterable[tuple[str, str]]) -> Answer:
        """What Authlib would send, with ``iss`` in every redirect."""
        named = ((k, self._with_iss(v) if k == "Location" else v) for k, v in headers)
        return Answer(status, body or {}, tuple(named))

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens."""

    def generate_token(self, *, scope: str, **_: Any) -> TokenAnswer:
        """A token answer for *scope*; `save_token` makes it good."""
        return self.ledger.mint(scope.split(), self.rules.token_seconds)

    def save_token(self, token: TokenAnswer, request: Request) -> None:
        """Make *token* good, as part of the family of the code or refresh token presented."""
        self.ledger.keep(token, (request.authorization_code or request.refresh_token).family)

    def _with_iss(self, url: str) -> str:
        """*url* with ``iss`` (RFC 9207): the truth, the lie asked for, or nothing."""
        iss = self.rules.iss_override
        if iss is None and self.rules.iss:
            iss = self.rules.origin
        return _with_query(url, iss=iss) if iss else url


def claimed_client(form: Mapping[str, str], headers: Mapping[str, str]) -> str:
    """The client that a direct request says it comes from; empty if it does not say.

    Raises:
        ValueError: the ``Authorization`` header is not Basic, or cannot be decoded.
    """
    header = headers.get("Authorization")
    if header is None:
        return form.get("client_id", "")
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        raise ValueError("not Basic")
    client_id, _, _ = base64.b64decode(encoded, validate=True).decode().partition(":")
    return unquote_plus(client_id)


def _check_response_type(request: Request) -> None:
    # Authlib makes the client's own text the error description, and fails if it holds a quote.
    response_type = request.payload.response_type
    if response_type is None:
        raise InvalidRequestError("response_type is missing.")
    if response_type != "code":
        raise OAuth2Error(error="unsupported_response_type", description="Only code is supported.")


def _ambiguity(request: Request) -> str | None:
    """Why a direct request cannot be read in one way only; Authlib would pick one, or fail."""
    if any(len(values) > 1 for values in request.payload.datalist.values()):
        return "A parameter was sent more than once."
    if "Authorization" in request.headers and "client_secret" in request.form:
        return "Authenticate in one way, not in two."
    try:
        claimed_client(request.form, request.headers)
    except ValueError:
        return "The Authorization header is not valid Basic authentication."
    return None


def _answer(response: Any) -> Answer:
    """*response*, which can be nothing else than what `Authority.handle_response` made."""
    assert isinstance(response, Answer)
    return response


def _with_query(url: str, **params: str) -> str:
    parts = urlsplit(url)
    query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), *params.items()])
    return parts._replace(query=query).geturl()
