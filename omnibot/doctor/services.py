"""How the services are: whether they answer, and know the bot.  Nobody is logged in, and nothing real is shown.

What is tried, at each service where the operator has registered the bot:

* an authorization request, as a browser's that is logged in nowhere, with the bot's redirect URI and with one that
  cannot be registered.  Where the two are answered differently before any login, the server has judged ours
  (RFC 6749 section 3.1.2.4).  No code can come of it, and nobody's cookie is there.
* the token endpoint, with a code that was made up.  A server names a client that it does not know before it looks
  at the code (RFC 6749 section 5.2): ``invalid_client``, else ``invalid_grant``.
* in OAuth 1.0a, temporary credentials (RFC 5849 section 2.1): they open nothing, and lapse by themselves.
"""

import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from omnibot import oauth, oauth1
from omnibot.adapter import Finding
from omnibot.app import Parts
from omnibot.clocks import ahead
from omnibot.config import Settings
from omnibot.errors import OAuthError, OmnibotError
from omnibot.linking.beginning import redirect_uri
from omnibot.provider import AuthorizationServer, Instance, Token
from omnibot.signers import converse, signer_of
from omnibot.wire import Answer, Request, Sender, origin_of

_NOBODY = Token("omnibot:check")
"""Nobody's key."""

_TRY_SECONDS = 15.0
_REACH = "Check its address, and whether this machine reaches it."
_NO_LINK = "Nobody can link an account there, and no login can be renewed."

_UNKNOWN_CLIENT = frozenset(
    {"invalid_client", "unauthorized_client", "incorrect_client_credentials", "invalid_client_id", "bad_client_secret"}
)
"""RFC 6749 section 5.2; GitHub's and Slack's words for it."""

_UNKNOWN_CODE = frozenset({"invalid_grant", "bad_verification_code", "invalid_code"})
"""RFC 6749 section 5.2; GitHub's and Slack's words for it."""

_WRONG_ADDRESS = "redirect_uri_mismatch"
"""GitHub's word for it, at the token endpoint as well."""


class Timed:
    """Sends as another does, and notes what time it is for whoever answers."""

    def __init__(self, http: Sender, clock: Callable[[], float] = time.time) -> None:
        """Send by *http*; *clock* tells Unix time."""
        self.ahead: dict[str, float] = {}
        """By host: by how many seconds this machine's clock is ahead of its own."""

        self._http = http
        self._clock = clock

    async def send(
        self,
        request: Request,
        *,
        origins: frozenset[str],
        private: bool,
        timeout: float = _TRY_SECONDS,  # noqa: ASYNC109 - one clock, kept by the client
        limit: int = 1_048_576,
    ) -> Answer:
        """Send *request* as the contract says."""
        asked = self._clock()
        answer = await self._http.send(request, origins=origins, private=private, timeout=timeout, limit=limit)
        off = ahead(answer.headers, asked, self._clock())
        if off is not None:
            self.ahead[urlsplit(request.url).hostname or ""] = off
        return answer


def unused(parts: Parts) -> list[Finding]:
    """Note each skill whose commands act at a service that is not configured."""
    found = []
    for skill in parts.skills:
        homes = sorted({command.providers[0] for command in skill.commands if command.providers})
        if homes and not set(homes).intersection(parts.instances.names()):
            what = f"The skill {skill.name} has no service to act at: providers.{homes[0]} is not configured."
            found.append(Finding("note", what, f"See: omnibot providers show {homes[0]}"))
    return found


async def service(instance: Instance, instances: Any, http: Sender, settings: Settings) -> AsyncIterator[Finding]:
    """Yield what is to be said of *instance*, which is one of *instances*."""
    if not instance.authorises:
        yield await _api(instance, http, "people link it by a key of their own")
        return
    uri = redirect_uri(instance, settings.public_url, settings.paste_port)
    how = f"How: {instance.provider.docs}" if instance.provider.docs else ""
    if instance.provider.registration == "operator":
        yield Finding("note", f"{instance.key}: register this redirect URI there, to the letter: {uri}", how)
    try:
        ready = await instances.ready(instance, http)
    except OmnibotError as error:
        yield Finding("wrong", f"{instance.key}: {error}", _REACH, _NO_LINK)
        return
    server = ready.server
    good = f"people will authorise at {origin_of(server.authorize_url)}"
    answers = Finding("good", f"{instance.key} answers; {good}.")
    answers = answers if instance.issuer else await _api(instance, http, good)
    yield answers
    if server.pkce == "none" and not server.is_oauth1 and instance.provider.registration != "address":
        why = "Codes are then protected by the client secret alone (below RFC 9700 section 2.1.1)."
        yield Finding("note", f"{instance.key} has no PKCE.", why=why)
    if instance.provider.registration == "operator" and answers.level == "good":
        for found in await _client(ready, server, uri, http):
            yield replace(found, what=f"{instance.key}: {found.what}")


async def _api(instance: Instance, http: Sender, good: str) -> Finding:
    """Look whether a service's API is where it should be: without a token or key, whoami has to refuse.

    With 403 only where the service is known to mean that: elsewhere it is the answer of an API that is
    switched off, as Redmine's.  Jenkins says 403 to whoever shows no key, and not to one who shows a wrong one.
    """
    request = replace(instance.whoami, frames=instance.provider.whoami.frames(""))
    send = partial(http.send, origins=instance.origins, private=instance.by_operator)
    try:
        answer = await send(request)
        if answer.status == 403 and not instance.authorises and not request.frames:
            answer = await converse(signer_of(instance, by_key=True), request, _NOBODY, send)
    except OmnibotError as error:
        return Finding("wrong", f"{instance.key}: {error}", _REACH)
    if instance.provider.is_dead(answer.status):
        return Finding("good", f"{instance.key} answers; {good}.")
    wanted = "an authorisation" if instance.authorises else "a key"
    what = f"{instance.key} answers {answer.status} where it should ask for {wanted}."
    return Finding("wrong", what, "Check its address, and that its API is switched on.")


# ------------------------------------------------------------------------- the bot's client


async def _client(instance: Instance, server: AuthorizationServer, uri: str, http: Sender) -> list[Finding]:
    """Look whether the service knows the bot by the client that is configured, and by the redirect URI *uri*."""
    try:
        if server.is_oauth1:
            return [await _oauth1(instance, server, uri, http)]
        return [*await _registered(instance, server, uri, http), await _known(instance, server, uri, http)]
    except OAuthError as error:
        return [Finding("note", f"whether it knows the bot cannot be asked ({error.code}).")]
    except OmnibotError as error:
        return [Finding("note", f"whether it knows the bot could not be asked: {error}", _REACH)]


async def _known(instance: Instance, server: AuthorizationServer, uri: str, http: Sender) -> Finding:
    """Show the token endpoint a code that was made up: who is not known is told that first."""
    request = oauth.code_request(
        server,
        instance.client,
        code=secrets.token_urlsafe(24),
        verifier=oauth.new_verifier(),
        redirect_uri=uri,
        accept=instance.provider.accept,
    )
    answer = await http.send(request, origins=instance.origins, private=instance.by_operator, timeout=_TRY_SECONDS)
    tried = "a made-up code was tried at its token endpoint"
    try:
        oauth.read_token(answer, now=time.time(), path=server.token_path)
    except OAuthError as error:
        said = error.code if error.code.isascii() and error.code.isprintable() else "an error"
        if said in _UNKNOWN_CLIENT:
            cure = "Put client_id and client_secret right, as the service shows them."
            return Finding("wrong", f"it does not take the bot's client ({tried}: {said}).", cure, _NO_LINK)
        if said in _UNKNOWN_CODE:
            return Finding("good", f"it takes the bot's client ({tried}, and refused as such: {said}).")
        if said == _WRONG_ADDRESS:
            return _unregistered(uri, said)
        why = "It may well be right; a first link will tell."
        return Finding("note", f"it does not say whether it takes the bot's client ({tried}: {said[:60]}).", why=why)
    why = "Whoever comes with any code is let in as somebody."
    return Finding("wrong", f"it gave a token for a code that was made up ({tried}).", "Do not link there.", why)


async def _registered(instance: Instance, server: AuthorizationServer, uri: str, http: Sender) -> list[Finding]:
    """Ask for an authorisation as nobody, with *uri* and with one that cannot be registered, and compare."""
    ours = await _authorise(instance, server, uri, http)
    other = await _authorise(instance, server, _elsewhere(uri), http)
    if ours.status >= 500 or other.status >= 500:
        return []
    if _refuses(ours) and (b"redirect" in ours.body.lower() or uri.encode() in ours.body):
        return [_unregistered(uri, str(ours.status))]
    if _refuses(ours):
        cure = "See at the service whether client_id, scopes and redirect URI are as configured here."
        what = f"it refuses the bot's authorisation request ({ours.status})."
        return [Finding("wrong" if ours.status < 404 else "note", what, cure, _NO_LINK)]
    if _refuses(other):
        return [Finding("good", "the redirect URI is registered there (another was refused).")]
    return []  # it asks for a login first: it cannot be told


def _unregistered(uri: str, said: str) -> Finding:
    what = f"it does not know the redirect URI ({said})."
    cure = f"Register it there, to the letter, without a slash at the end: {uri}"
    return Finding("wrong", what, cure, "Whoever links is turned away there.")


async def _authorise(instance: Instance, server: AuthorizationServer, uri: str, http: Sender) -> Answer:
    """Return what a browser that is logged in nowhere is answered."""
    url = oauth.authorize_url(
        server,
        instance.client,
        redirect_uri=uri,
        scopes=instance.provider.base_scopes,
        state=oauth.new_state(),
        verifier=oauth.new_verifier(),
    )
    # The page is the browser's to visit, and so at no origin of the instance's; this request carries no secret.
    origins = frozenset({origin_of(url)})
    request = Request("GET", url, {"Accept": "text/html"})
    return await http.send(request, origins=origins, private=instance.by_operator, timeout=_TRY_SECONDS)


def _elsewhere(uri: str) -> str:
    """Return an address like *uri* that nobody can have registered (RFC 6761 section 6.4)."""
    return f"https://omnibot-check-{secrets.token_hex(4)}.invalid{urlsplit(uri).path}"


def _refuses(answer: Answer) -> bool:
    """Whether *answer* turns the browser away, by its status or by sending it to a page on what is wrong."""
    sent_to = urlsplit(answer.headers.get("location", "")).path.lower()
    return answer.status >= 400 or (300 <= answer.status < 400 and "/error" in sent_to)


async def _oauth1(instance: Instance, server: AuthorizationServer, uri: str, http: Sender) -> Finding:
    """Ask for temporary credentials: the request is signed by the bot's own, and names *uri*."""
    request = oauth1.request_token_request(server, instance.client, uri)
    answer = await http.send(request, origins=instance.origins, private=instance.by_operator, timeout=_TRY_SECONDS)
    try:
        oauth1.read_request_token(answer)
    except OAuthError as error:
        if error.code == "refused":
            cure = f"Put consumer_key and consumer_secret right, and register this address there: {uri}"
            what = f"it refuses the bot's consumer key, or its address ({answer.status})."
            return Finding("wrong", what, cure, _NO_LINK)
        return Finding("note", f"it does not say whether it takes the bot's consumer key ({error.code}).")
    return Finding("good", "it takes the bot's consumer key and address (temporary credentials were asked for).")


def every(parts: Parts) -> Iterator[Instance]:
    """Yield every instance that the operator named."""
    for key in parts.instances.keys():  # noqa: SIM118 - no mapping: the instances by their full names
        provider, _, name = key.partition("@")
        yield parts.instances.get(provider, name)
