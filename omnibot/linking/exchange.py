"""From an authorization code, a PIN or a key to a token, and to whose it is."""

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from omnibot import oauth, oauth1
from omnibot.bodies import read_body
from omnibot.errors import OAuthError, OmnibotError, Upstream
from omnibot.linking.flows import Flow
from omnibot.markup import printable
from omnibot.provider import EVERYTHING, Instance, Token, Whoami
from omnibot.signers import converse, signer_of
from omnibot.wire import Answer, Request, Sender

log = logging.getLogger(__name__)

_NOT_OUR_CLIENT = frozenset({"invalid_client", "unauthorized_client"})
_LONGEST_ID = 200
_LONGEST_KEY = 4096
_LONGEST_NAME = 80
_LONGEST_URL = 500


@dataclass(frozen=True, slots=True)
class Profile:
    """The account at the service that a token is for."""

    id: str
    """The service's own immutable id."""

    login: str
    name: str
    avatar: str


class ExchangeError(OmnibotError):
    """No usable token came of it; *code* is ``unavailable``, ``exchange_failed`` or ``bad_key``.

    *token* is one that was got and cannot be used: it goes back.  *stranger*: the server does not know our client.
    """

    def __init__(self, code: str, token: Token | None, *, stranger: bool = False) -> None:
        """Say why, and hand over the *token* if there is one."""
        super().__init__(code)
        self.code = code
        self.token = token
        self.stranger = stranger


class Exchange:
    """Asks the authorization server, then the service itself."""

    def __init__(self, http: Sender, clock: Callable[[], float] = time.time) -> None:
        """Ask through *http*."""
        self._http = http
        self._clock = clock

    async def redeem(self, instance: Instance, flow: Flow, code: str, verifier: str) -> tuple[Token, Profile]:
        """Return the token that the flow's own server gives for *code*, and whose it is.

        Raises:
            ExchangeError: it would not, or did not answer.
        """
        token: Token | None = None
        try:
            token = await self._token(instance, flow, code, verifier)
            return token, await self.whose(instance, token)
        except (OmnibotError, ValueError) as error:
            said = getattr(error, "code", "")
            if said in _NOT_OUR_CLIENT:
                log.error(
                    "%s does not take this bot's own client: nobody can link an account there until client_id and "
                    "client_secret are put right (%s)",
                    instance.key,
                    said,
                )
            else:
                log.warning("linking %s failed: %s %s", instance.key, type(error).__name__, said)
            code = "unavailable" if isinstance(error, Upstream) else "exchange_failed"
            raise ExchangeError(code, token, stranger=said in _NOT_OUR_CLIENT) from None

    async def take_key(self, instance: Instance, key: str) -> tuple[Token, Profile]:
        """Return the token that *key* is, and whose it is: it is asked for at the service before anything is kept.

        Raises:
            ExchangeError: the service does not take it, or did not answer.
        """
        token = Token(key, scopes=(EVERYTHING,))
        try:
            if not oauth.is_plain(key, _LONGEST_KEY):
                raise ExchangeError("bad_key", None)
            return token, await self.whose(instance, token, by_key=True)
        except (OmnibotError, ValueError) as error:
            code = "unavailable" if isinstance(error, Upstream) else "bad_key"
            log.info("a key for %s was not taken: %s, status %s", instance.key, code, getattr(error, "status", None))
            raise ExchangeError(code, None) from None

    async def _token(self, instance: Instance, flow: Flow, code: str, verifier: str) -> Token:
        if flow.server.is_oauth1:
            return await self._signed_token(instance, flow, code, unpacked(verifier))
        request = oauth.code_request(
            flow.server,
            instance.client,
            code=code,
            verifier=verifier,
            redirect_uri=flow.redirect_uri,
            accept=instance.provider.accept,
        )
        try:
            answer = await self._send(instance, request)
            return oauth.read_token(answer, now=self._clock(), path=flow.server.token_path)
        except OAuthError as error:
            raise _upstream(error) from None

    async def _signed_token(self, instance: Instance, flow: Flow, verifier: str, temporary: Token) -> Token:
        request = oauth1.token_request(flow.server, instance.client, temporary, verifier)
        try:
            return oauth1.read_token(await self._send(instance, request))
        except OAuthError as error:
            raise _upstream(error) from None

    async def temporary(self, instance: Instance, flow: Flow) -> Token:
        """Return temporary credentials for *flow*, of OAuth 1.0a: it is by them that its browser is known again.

        Raises:
            OmnibotError: the server gave none, or did not answer.
        """
        request = oauth1.request_token_request(flow.server, instance.client, flow.redirect_uri)
        return oauth1.read_request_token(await self._send(instance, request))

    async def device_code(self, instance: Instance, flow: Flow) -> oauth.DeviceCode:
        """Return the codes of a device for *flow* (RFC 8628).

        Raises:
            OmnibotError: the server gave none, or did not answer.
        """
        request = oauth.device_request(flow.server, instance.client, flow.scopes)
        return oauth.read_device_code(await self._send(instance, request))

    async def device_token(self, instance: Instance, flow: Flow, device_code: str) -> Token:
        """Return the token that the person at a device has authorised by its code.

        Raises:
            OAuthError: not yet (``authorization_pending``, ``slow_down``), or never.
            Upstream: the server did not answer.
        """
        accept = instance.provider.accept
        request = oauth.device_token_request(flow.server, instance.client, device_code, accept=accept)
        answer = await self._send(instance, request)
        return oauth.read_token(answer, now=self._clock(), path=flow.server.token_path)

    async def whose(self, instance: Instance, token: Token, *, by_key: bool = False) -> Profile:
        """Return whose *token* is, as the service says; *by_key*: it is a key of its owner's.

        Raises:
            OmnibotError, ValueError: it does not say, did not answer, or the token cannot be sent.
        """
        answer = await self._asked(instance, token, by_key=by_key)
        if answer.status == 429 or answer.status >= 500:
            raise Upstream("whoami is out of order", status=answer.status)
        profile = read_profile(instance.provider.whoami, answer)
        said = (profile.id, profile.login, profile.name, profile.avatar)
        if any(secret and secret in one for secret in (token.access, token.refresh, token.secret) for one in said):
            raise OAuthError("whoami_failed", status=answer.status)  # it would be shown, and stored in the clear
        return profile

    async def _asked(self, instance: Instance, token: Token, *, by_key: bool) -> Answer:
        """Return the answer to the question whose *token* is: signed, or with it in what is said over a WebSocket."""
        said = instance.provider.whoami.frames(token.access)
        if said:
            return await self._send(instance, replace(instance.whoami, frames=said))
        signer = signer_of(instance, by_key=by_key)
        return await converse(signer, instance.whoami, token, partial(self._send, instance))

    async def _send(self, instance: Instance, request: Request) -> Answer:
        return await self._http.send(request, origins=instance.origins, private=instance.by_operator)


def packed(temporary: Token) -> str:
    """Return *temporary* credentials as a flow keeps them, boxed, until its browser is back."""
    return json.dumps([temporary.access, temporary.secret])


def unpacked(kept: str) -> Token:
    """Return the temporary credentials that `packed` made *kept* of."""
    access, secret = json.loads(kept)
    return Token(access, secret=secret)


def _upstream(error: OAuthError) -> OmnibotError:
    """Return *error*, or what it is where the server is out of order."""
    if error.code == "temporarily_unavailable":
        return Upstream("the token endpoint is out of order", status=error.status)
    return error


def read_profile(whoami: Whoami, answer: Answer) -> Profile:
    """Return the profile in *answer*, found where *whoami* says.

    Raises:
        OAuthError: ``whoami_failed``: it does not say whose token it is.
    """
    said = read_body(answer) if answer.ok else None
    body = said if isinstance(said, Mapping) else {}
    found = _at(body, whoami.id)
    if isinstance(found, bool) or not isinstance(found, str | int) or not oauth.is_plain(str(found), _LONGEST_ID):
        raise OAuthError("whoami_failed", status=answer.status)
    login = _text(body, whoami.login) or printable(str(found))
    avatar = _text(body, whoami.avatar, _LONGEST_URL)
    shown = avatar if avatar.startswith(("https://", "http://")) else ""
    return Profile(str(found), login, _text(body, whoami.name), shown)


def _text(body: Mapping[str, Any], path: str, longest: int = _LONGEST_NAME) -> str:
    found = _at(body, path) if path else ""
    return printable(str(found))[:longest] if isinstance(found, str | int) else ""


def _at(body: Mapping[str, Any], path: str) -> Any:
    """Return what *body* has at the dotted *path*; a number in it counts into a list."""
    found: Any = body
    for name in path.split("."):
        if isinstance(found, list):
            found = found[int(name)] if name.isdecimal() and int(name) < len(found) else None
        else:
            found = found.get(name) if isinstance(found, Mapping) else None
    return found
