"""From an authorization code, or a key, to a token, and to whose it is."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from omnibot import oauth
from omnibot.errors import OAuthError, OmnibotError, Upstream
from omnibot.linking.flows import Flow
from omnibot.markup import printable
from omnibot.provider import EVERYTHING, Instance, Token, Whoami
from omnibot.signers import signer_named
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

    *token* is one that was got and cannot be used: it goes back.
    """

    def __init__(self, code: str, token: Token | None) -> None:
        """Say why, and hand over the *token* if there is one."""
        super().__init__(code)
        self.code = code
        self.token = token


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
            return token, await self._whose(instance, token)
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
            raise ExchangeError("unavailable" if isinstance(error, Upstream) else "exchange_failed", token) from None

    async def take_key(self, instance: Instance, key: str) -> tuple[Token, Profile]:
        """Return the token that *key* is, and whose it is: it is asked for at the service before anything is kept.

        Raises:
            ExchangeError: the service does not take it, or did not answer.
        """
        token = Token(key, scopes=(EVERYTHING,))
        try:
            if not oauth.is_plain(key, _LONGEST_KEY):
                raise ExchangeError("bad_key", None)
            return token, await self._whose(instance, token)
        except (OmnibotError, ValueError) as error:
            code = "unavailable" if isinstance(error, Upstream) else "bad_key"
            log.info("a key for %s was not taken: %s, status %s", instance.key, code, getattr(error, "status", None))
            raise ExchangeError(code, None) from None

    async def _token(self, instance: Instance, flow: Flow, code: str, verifier: str) -> Token:
        request = oauth.code_request(
            flow.server,
            instance.client,
            code=code,
            verifier=verifier,
            redirect_uri=flow.redirect_uri,
            accept=instance.provider.accept,
        )
        try:
            return oauth.read_token(await self._send(instance, request), now=self._clock())
        except OAuthError as error:
            if error.code == "temporarily_unavailable":
                raise Upstream("the token endpoint is out of order", status=error.status) from None
            raise

    async def _whose(self, instance: Instance, token: Token) -> Profile:
        plain = Request("GET", instance.whoami_url, {"Accept": instance.provider.accept})
        steps = signer_named(instance.provider.signer).sign(plain, token)
        answer = await self._send(instance, next(steps))
        if answer.status == 429 or answer.status >= 500:
            raise Upstream("whoami is out of order", status=answer.status)
        profile = read_profile(instance.provider.whoami, answer)
        said = (profile.id, profile.login, profile.name, profile.avatar)
        if any(secret and secret in one for secret in (token.access, token.refresh) for one in said):
            raise OAuthError("whoami_failed", status=answer.status)  # it would be shown, and stored in the clear
        return profile

    async def _send(self, instance: Instance, request: Request) -> Answer:
        return await self._http.send(request, origins=instance.origins, private=instance.by_operator)


def read_profile(whoami: Whoami, answer: Answer) -> Profile:
    """Return the profile in *answer*, found where *whoami* says.

    Raises:
        OAuthError: ``whoami_failed``: it does not say whose token it is.
    """
    body = oauth.json_object(answer.body) if answer.ok else None
    found = _at(body or {}, whoami.id)
    if isinstance(found, bool) or not isinstance(found, str | int) or not oauth.is_plain(str(found), _LONGEST_ID):
        raise OAuthError("whoami_failed", status=answer.status)
    login = _text(body or {}, whoami.login) or printable(str(found))
    avatar = _text(body or {}, whoami.avatar, _LONGEST_URL)
    shown = avatar if avatar.startswith(("https://", "http://")) else ""
    return Profile(str(found), login, _text(body or {}, whoami.name), shown)


def _text(body: Mapping[str, Any], path: str, longest: int = _LONGEST_NAME) -> str:
    found = _at(body, path) if path else ""
    return printable(str(found))[:longest] if isinstance(found, str | int) else ""


def _at(body: Mapping[str, Any], path: str) -> Any:
    found: Any = body
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
