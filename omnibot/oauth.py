"""OAuth 2.0 without I/O: what to send, and what to believe of the answers.

Each step makes a `Request` or reads an `Answer`; whoever drives them holds the socket,
the state and the clock.  What comes from outside (a callback, a pasted address, a token
answer) is read strictly and refused as an `OAuthError`: nothing else is
raised, whatever it holds.  The codes of our own:

* ``bad_callback``, ``not_our_address``, ``bare_code``: what came back is no authorization answer
* ``issuer_missing``, ``issuer_mismatch``: it is not from the server we asked
* ``pkce_unsupported``: nothing would bind the code to us
* ``redirected``, ``bad_answer``, ``bad_token_type``: the token endpoint said something else than a token
* ``temporarily_unavailable``: it is broken or busy, and nothing is known of the grant
* ``no_refresh_token``, ``no_revocation``, ``no_device_flow``: there is nothing to ask with, or nobody to ask
"""

import json
import math
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeGuard
from urllib.parse import parse_qsl, quote_plus, urlencode

from omnibot.errors import OAuthError
from omnibot.provider import AuthorizationServer, ClientCredential, Token
from omnibot.wire import Answer, Request

_FORM = "application/x-www-form-urlencoded"
_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_VISIBLE = re.compile(r"[ -~]*")
_LONGEST = {"state": 512, "code": 4096, "error": 128, "iss": 2048}
"""The parameters of an authorization answer that count, and how long each may be."""

type Hint = Literal["access_token", "refresh_token"]
"""What kind of token is handed back (RFC 7009 section 2.1)."""

_LONGEST_CALLBACK = 16_384
_LONGEST_TOKEN = 32_768
"""Longer than any header may be."""


@dataclass(frozen=True, slots=True)
class Callback:
    """An authorization answer, in form only: nothing says yet whether the state is ours."""

    state: str = field(repr=False)
    code: str = field(default="", repr=False)
    """Empty exactly if there is an *error*."""

    error: str = ""
    iss: str = ""
    """RFC 9207; empty where the answer names no issuer."""

    oauth1: bool = False
    """Whether it is an answer of OAuth 1.0a (see `omnibot.oauth1`): of a server of OAuth 2 it is none."""


# ------------------------------------------------------------------------------------ authorization


def new_verifier() -> str:
    """Return a PKCE verifier: 32 random octets (RFC 7636 section 4.1), one for each attempt."""
    return secrets.token_urlsafe(32)


def new_state() -> str:
    """Return a state: 256 bits."""
    return secrets.token_urlsafe(32)


def authorize_url(
    server: AuthorizationServer,
    client: ClientCredential,
    *,
    redirect_uri: str,
    scopes: Sequence[str],
    state: str,
    verifier: str,
) -> str:
    """Return where the browser goes to authorise.

    Raises:
        OAuthError: ``pkce_unsupported``, if nothing would bind the code to us.
    """
    from authlib.common.urls import add_params_to_uri
    from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
    from authlib.oauth2.rfc7636 import create_s256_code_challenge

    if server.pkce == "none" and client.client_secret is None and not _is_own_address(client, redirect_uri):
        raise OAuthError("pkce_unsupported")
    proof = {}
    if server.pkce == "S256":
        proof = {"code_challenge": create_s256_code_challenge(verifier), "code_challenge_method": "S256"}
    scope = server.scope_separator.join(scopes)
    if server.scope_parameter != "scope":
        proof, scope = {**proof, server.scope_parameter: scope}, ""
    uri = prepare_grant_uri(server.authorize_url, client.client_id, "code", redirect_uri, scope, state, **proof)
    return str(add_params_to_uri(uri, list(server.authorize_params.items())))


def _is_own_address(client: ClientCredential, redirect_uri: str) -> bool:
    """Whether *client* is named by an address, and *redirect_uri* is below it.

    Such a server sends codes to that address alone (IndieAuth section 5.2), and only one who reads there has them.
    """
    own = client.client_id
    return own.startswith(("https://", "http://")) and own.endswith("/") and redirect_uri.startswith(own)


def read_callback(query: str | Sequence[tuple[str, str]]) -> Callback:
    """Return the authorization answer in *query*, a query string or its decoded pairs.

    Raises:
        OAuthError: ``bad_callback``, if a parameter is missing, empty, doubled, absurdly long or
            not visible ASCII, or if it holds both code and error, or neither.
    """
    pairs = _pairs(query) if isinstance(query, str) else query
    known = {name: value for name, value in pairs if name in _LONGEST}
    if len(known) != sum(name in _LONGEST for name, _ in pairs):
        raise OAuthError("bad_callback")
    if not all(is_plain(value, _LONGEST[name]) for name, value in known.items()):
        raise OAuthError("bad_callback")
    if "state" not in known or ("code" in known) == ("error" in known):
        raise OAuthError("bad_callback")
    return Callback(known["state"], known.get("code", ""), known.get("error", ""), known.get("iss", ""))


def check_issuer(server: AuthorizationServer, callback: Callback) -> None:
    """See that *callback* is from *server*, errors included, before anything in it is believed (RFC 9207).

    Raises:
        OAuthError: ``issuer_missing`` or ``issuer_mismatch``.
    """
    if callback.iss:
        if callback.iss != server.issuer:
            raise OAuthError("issuer_mismatch")
    elif server.iss == "required":
        raise OAuthError("issuer_missing")


# --------------------------------------------------------------------------------------- paste-back


def looks_pasted(text: str, redirect_uri: str) -> bool:
    """Whether *text* holds something like an authorization answer: then it is a secret, right or wrong."""
    return redirect_uri in text or any(
        "://" in word and re.search(r"[?&#]state=", word) and re.search(r"[?&#](code|error)=", word)
        for word in text.split()
    )


def read_pasted(text: str, redirect_uri: str) -> Callback:
    """Return the authorization answer in the address that a person pasted (A71, RFC 8252 section 8.10).

    The address equals *redirect_uri*, character by character, or nothing in it is read.

    Raises:
        OAuthError: ``not_our_address``, ``bare_code`` or ``bad_callback``.
    """
    pasted = text.strip().strip("`").strip().removeprefix("<").removesuffix(">").strip()
    address, mark, query = pasted.partition("?")
    if not mark and "://" not in pasted:
        raise OAuthError("bare_code")
    if address != redirect_uri or "#" in query:
        raise OAuthError("not_our_address")
    return read_callback(query)


# ------------------------------------------------------------------------------------------- tokens


def code_request(
    server: AuthorizationServer,
    client: ClientCredential,
    *,
    code: str,
    verifier: str,
    redirect_uri: str,
    accept: str = "application/json",
) -> Request:
    """Return the request that exchanges *code*; *redirect_uri* is the one the browser was sent with."""
    from authlib.oauth2.rfc6749.parameters import prepare_token_request

    proof = {"code_verifier": verifier} if server.pkce == "S256" else {}
    body = prepare_token_request("authorization_code", redirect_uri=redirect_uri, code=code, **proof)
    return _authenticated(server, client, server.token_url, body, accept)


def refresh_request(
    server: AuthorizationServer, client: ClientCredential, token: Token, *, accept: str = "application/json"
) -> Request:
    """Return the request that refreshes *token*.

    Raises:
        OAuthError: ``no_refresh_token``.
    """
    from authlib.oauth2.rfc6749.parameters import prepare_token_request

    if not token.refresh:
        raise OAuthError("no_refresh_token")
    body = prepare_token_request("refresh_token", refresh_token=token.refresh)
    return _authenticated(server, client, server.token_url, body, accept)


def revoke_request(server: AuthorizationServer, client: ClientCredential, value: str, hint: Hint) -> Request:
    """Return the request that hands back *value* (RFC 7009).

    Raises:
        OAuthError: ``no_revocation``, if the server has no such endpoint.
    """
    from authlib.oauth2.rfc7009 import prepare_revoke_token_request

    if not server.revoke_url:
        raise OAuthError("no_revocation")
    body, _ = prepare_revoke_token_request(value, hint)
    return _authenticated(server, client, server.revoke_url, body, "application/json")


def _authenticated(server: AuthorizationServer, client: ClientCredential, url: str, body: str, accept: str) -> Request:
    """Return the POST of *body* to *url*, signed as *client* in the way that *server* wants."""
    from authlib.oauth2.auth import ClientAuth

    name, secret, way = client.client_id, client.client_secret, server.client_auth
    if way == "basic" and secret:
        # RFC 6749 section 2.3.1 has both encoded first; Authlib leaves that to its caller.
        auth = ClientAuth(quote_plus(name), quote_plus(secret.value), "client_secret_basic")
    elif way == "post" and secret:
        auth = ClientAuth(name, secret.value, "client_secret_post")
    else:
        auth = ClientAuth(name, None, "none")
    headers = {"Accept": accept, "Content-Type": _FORM}
    url, headers, body = auth.prepare("POST", url, headers, body)
    if server.request_format == "json" and url == server.token_url:
        headers, body = {**headers, "Content-Type": "application/json"}, json.dumps(dict(parse_qsl(body)))
    return Request("POST", url, headers, body.encode())


# ------------------------------------------------------------------------------------------- device


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """What a person types elsewhere, and what the bot asks with meanwhile (RFC 8628 section 3.2)."""

    device_code: str = field(repr=False)
    user_code: str = field(repr=False)
    page: str
    """Where it is typed.  The address with the code in it is never read: phishing would be a click (section 5.4)."""

    lasts: float
    """Seconds."""

    interval: float
    """Seconds between two questions, at least."""


def device_request(server: AuthorizationServer, client: ClientCredential, scopes: Sequence[str]) -> Request:
    """Return the request for a device's code (RFC 8628 section 3.1).

    Raises:
        OAuthError: ``no_device_flow``, if the server has no such endpoint.
    """
    if not server.device_url:
        raise OAuthError("no_device_flow")
    scope = {server.scope_parameter: server.scope_separator.join(scopes)} if scopes else {}
    body = urlencode({**_named(server, client), **scope})
    return _authenticated(server, client, server.device_url, body, "application/json")


def read_device_code(answer: Answer) -> DeviceCode:
    """Return the codes in *answer*.

    Raises:
        OAuthError: the server's code, or one of ours, with the HTTP status.
    """
    data = _token_data(answer)
    device, user, page = (data.get(name) for name in ("device_code", "user_code", "verification_uri"))
    if not is_plain(device, _LONGEST_TOKEN) or not is_plain(user, 64) or not is_plain(page, 500):
        raise OAuthError("bad_answer", status=answer.status)
    if not re.match(r"https?://[!-~]+$", page):
        raise OAuthError("bad_answer", status=answer.status)
    lasts, interval = _seconds(data.get("expires_in")), _seconds(data.get("interval", 5))
    if lasts is None:  # required
        raise OAuthError("bad_answer", status=answer.status)
    return DeviceCode(device, user, page, lasts, max(1.0, interval or 5.0))


def device_token_request(
    server: AuthorizationServer, client: ClientCredential, device_code: str, *, accept: str = "application/json"
) -> Request:
    """Return the question whether the code has been typed (RFC 8628 section 3.4)."""
    fields = {"grant_type": _DEVICE_GRANT, "device_code": device_code, **_named(server, client)}
    return _authenticated(server, client, server.token_url, urlencode(fields), accept)


def _named(server: AuthorizationServer, client: ClientCredential) -> dict[str, str]:
    """Return the client's name as a field, which a device's requests want; who is sent in the body is named there."""
    in_header = server.client_auth == "basic" and client.client_secret is not None
    return {"client_id": client.client_id} if in_header else {}


def read_token(answer: Answer, *, now: float, previous: Token | None = None, path: str = "") -> Token:
    """Return the token in *answer*, what it leaves unsaid taken from the *previous* one.

    *now* is in Unix seconds.  A lifetime that makes no sense is one that is not known.  *path* is where in
    the answer the token is, dotted, as `AuthorizationServer.token_path` says.

    Raises:
        OAuthError: the server's code, or one of ours, with the HTTP status.
    """
    data = _token_data(answer)
    for name in filter(None, path.split(".")):
        data = data[name] if isinstance(data.get(name), dict) else {}
    access = data.get("access_token")
    # Within an answer of its own form a service may call the type what it likes: Slack says whose the token is.
    kind = "bearer" if path else data.get("token_type") or "bearer"
    if not isinstance(access, str) or " " in access or not is_plain(access, _LONGEST_TOKEN):
        raise OAuthError("bad_answer", status=answer.status)
    kinds = ("bearer", "user") if path else ("bearer",)  # what Slack calls a person's
    if not isinstance(kind, str) or kind.lower() not in kinds:
        raise OAuthError("bad_token_type", status=answer.status)
    refresh = data.get("refresh_token")
    if not isinstance(refresh, str) or not is_plain(refresh, _LONGEST_TOKEN):
        refresh = previous.refresh if previous else ""
    scopes = _scopes(data.get("scope"), previous.scopes if previous else None)
    lifetime = _seconds(data.get("expires_in"))
    return Token(access, refresh, None if lifetime is None else now + lifetime, scopes)


def _token_data(answer: Answer) -> dict[str, Any]:
    """Return what a token endpoint said, if it is a good answer."""
    if 300 <= answer.status < 400:
        raise OAuthError("redirected", status=answer.status)
    if answer.status >= 500 or answer.status == 429:
        # Whatever it says in this state is not about the grant (A46).
        raise OAuthError("temporarily_unavailable", status=answer.status)
    data = json_object(answer.body)
    if data is None and answer.headers.get("content-type", "").lower().startswith(_FORM):
        data = _form(answer.body)
    error = (data or {}).get("error")
    if error:  # GitHub says so with status 200
        raise OAuthError(error if isinstance(error, str) else "bad_answer", status=answer.status)
    if data is None or not answer.ok:
        raise OAuthError("bad_answer", status=answer.status)
    return data


def _seconds(seconds: object) -> float | None:
    """Return so many *seconds* as a number above zero; None if that is not to be known."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float | str):
        return None
    try:
        lifetime = float(seconds)
    except (ValueError, OverflowError):
        return None
    return lifetime if math.isfinite(lifetime) and lifetime > 0 else None


def _scopes(said: object, previous: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Return the scopes a server *said* it granted; GitHub writes commas, others lists."""
    if isinstance(said, list):
        said = " ".join(scope for scope in said if isinstance(scope, str))
    return tuple(filter(None, re.split(r"[\s,]+", said))) if isinstance(said, str) else previous


# ------------------------------------------------------------------------------------------- reading


def is_plain(value: object, longest: int) -> TypeGuard[str]:
    """Whether *value* is a non-empty text of visible ASCII, not longer than *longest*."""
    return isinstance(value, str) and 0 < len(value) <= longest and bool(_VISIBLE.fullmatch(value))


def json_object(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object in *body*, if it is one."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _form(body: bytes) -> dict[str, str] | None:
    """Return the form in *body*, if it is one."""
    try:
        return dict(parse_qsl(body.decode("ascii"), strict_parsing=True, max_num_fields=50))
    except ValueError:
        return None


def _pairs(query: str) -> Sequence[tuple[str, str]]:
    """Return the decoded pairs of a query string."""
    if len(query) > _LONGEST_CALLBACK:
        raise OAuthError("bad_callback")
    try:
        return parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=50)
    except ValueError:
        raise OAuthError("bad_callback") from None
