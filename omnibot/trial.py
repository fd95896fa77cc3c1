"""``omnibot providers test``: the linking flow against one configured server, told step by step, with nothing kept.

It is the flow that people go through, with the same requests, in a process of its own: no
account comes of it, and the token that is got goes back at the end.  What is secret on the way
(client secret, code, verifier, tokens, keys) is never told, whatever a server puts where: each
line is looked through before it leaves.
"""

import asyncio
import hmac
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from aiohttp import web

from omnibot import oauth, oauth1
from omnibot.adapter import Finding
from omnibot.app import ask_running, find_instances
from omnibot.catalogue import Instances
from omnibot.clients import register_at
from omnibot.config import Settings
from omnibot.edge import ROUTE, Server, fields
from omnibot.errors import OAuthError, OmnibotError, UserError
from omnibot.http import Http
from omnibot.identity import Assurance, Identity
from omnibot.linking.beginning import redirect_uri
from omnibot.linking.exchange import Exchange, Profile
from omnibot.linking.flows import Asked, Flow
from omnibot.linking.revoking import hand_back, revocable, to_hand_back
from omnibot.linking.ways import Wanted, best_way
from omnibot.markup import printable
from omnibot.provider import EVERYTHING, AuthorizationServer, ClientCredential, Instance, Token, Way
from omnibot.refusals import explained
from omnibot.wire import Answer, Request, Sender, origin_of

WAIT_SECONDS = 600.0
"""How long somebody has to come back from the service, as a link of the bot's lives."""

_TRIES = 3
_SAFE_HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True, slots=True)
class Talk:
    """How a trial speaks with whoever runs it."""

    say: Callable[[str], None]
    ask: Callable[[str], Awaitable[str]]
    """Ask for a line; empty where nobody answers."""

    ask_secret: Callable[[str], Awaitable[str]]
    """Likewise, without showing what is typed."""


class _Stop(Exception):
    """The trial ends here."""

    def __init__(self, what: str, cure: str = "") -> None:
        super().__init__(what)
        self.finding = Finding("wrong", what, cure)


async def try_out(
    settings: Settings,
    name: str,
    talk: Talk,
    *,
    wanted: Wanted = "best",
    wait: float = WAIT_SECONDS,
) -> bool:
    """Link an account at the instance *name*, tell each step and keep nothing; return whether all went well.

    *wait* is in seconds, for whoever is at the browser.

    Raises:
        ConfigError: the configuration cannot be used, or the listener's port is taken.
        UserError: there is no such instance, it cannot be linked as *wanted*, or the bot runs there.
    """
    instances = find_instances(settings)
    instance = configured(instances, name)
    public = settings.public_url is not None
    way = best_way(instance, public=public, wanted=wanted)
    if way == "redirect":
        await _refuse_beside_the_bot(settings)
    http = Http()
    try:
        return await Trial(instance, instances, settings, talk, http, wait).run(way)
    finally:
        await http.close()


def configured(instances: Instances, name: str) -> Instance:
    """Return the instance that *name* is.

    Raises:
        UserError: it is not configured.
    """
    provider = name.partition("@")[0].lower()
    if provider not in instances.names():
        known = ", ".join(instances.keys()) or "none"
        raise UserError(
            f"{printable(name)} is not configured. Add providers.{printable(provider)} to the configuration: "
            f"`omnibot providers show {printable(provider)}` tells what is needed. Configured are: {known}."
        )
    return instances.get(name)


class Trial:
    """One link that is tried."""

    def __init__(
        self,
        instance: Instance,
        instances: Instances,
        settings: Settings,
        talk: Talk,
        http: Sender,
        wait: float = WAIT_SECONDS,
    ) -> None:
        """Try to link *instance*, and tell of it through *talk*."""
        self._instance = instance
        self._instances = instances
        self._settings = settings
        self._talk = talk
        self._http = http
        self._wait = wait
        self._exchange = Exchange(http)
        self._callback = redirect_uri(instance, settings.public_url, settings.paste_port)
        self._secrets: list[str] = []
        self._well = True
        instances.register_by(_Passing(self._callback))

    async def run(self, way: Way) -> bool:
        """Go through the steps by *way*; return whether nothing was wrong."""
        try:
            await self._describe()
            token = await self._by_key() if way == "key" else await self._by_page(way)
            await self._use(token, by_key=way == "key")
        except _Stop as stop:
            self._tell(stop.finding)
        self._say("Nothing has been stored." if self._well else "Something is wrong. Nothing has been stored.")
        return self._well

    # ---------------------------------------------------------------------------------------- telling

    def _hide(self, *secrets: str) -> None:
        """Let none of *secrets* be told from now on."""
        self._secrets += [one for one in secrets if one]

    def _say(self, text: str) -> None:
        for secret in self._secrets:
            text = text.replace(secret, "****")
        self._talk.say("\n".join(_plain(line) for line in text.split("\n")))

    def _tell(self, finding: Finding) -> None:
        self._well = self._well and finding.level != "wrong"
        self._say(str(finding))

    def _good(self, what: str) -> None:
        self._tell(Finding("good", what))

    def _note(self, what: str, cure: str = "") -> None:
        self._tell(Finding("note", what, cure))

    def _refusal(self, error: Exception, step: str) -> _Stop:
        """Return the end of the trial at *step*, for the *error* that came of it."""
        what, cure = explained(error, self._instance, self._callback)
        return _Stop(f"{step}: {what}", cure)

    # ----------------------------------------------------------------------------------------- steps

    async def _describe(self) -> None:
        """Tell where the service is, and find its endpoints."""
        try:
            self._instance = await self._instances.ready(self._instance, self._http)
        except (OmnibotError, ValueError) as error:
            raise self._refusal(error, "registration" if self._instance.registers else "metadata") from None
        one, server = self._instance, self._instance.server
        self._hide(one.client.client_secret.value if one.client.client_secret else "")
        self._good(f"{one.key}: {one.title}, API at {one.api}.")
        if one.registers:
            self._good("registration: the service has registered the bot, for this trial alone.")
        if server is None or not (server.authorize_url and one.authorises):
            return
        found = "metadata" if one.provider.discovery else "endpoints"
        where = {"authorise": server.authorize_url, "token": server.token_url, "request": server.request_url}
        where |= {"revoke": server.revoke_url, "device": server.device_url}
        self._good(f"{found}: {', '.join(f'{name} {url}' for name, url in where.items() if url)}.")
        if server.pkce == "none" and not server.is_oauth1:
            self._note("There is no PKCE: codes are protected by the client secret alone.")

    async def _by_key(self) -> Token:
        """Return the key that is typed in."""
        one = self._instance
        form = one.provider.key
        at = f" It is at {one.key_url}." if one.key_url else ""
        self._say(f"{one.title} is linked by your own {form.label}.{at} {form.hint}".rstrip())
        key = (await self._talk.ask_secret(f"Your {form.label} (it is not shown): ")).strip()
        if not key:
            raise _Stop("No key was typed in.")
        self._hide(key)
        return Token(key, scopes=(EVERYTHING,))

    async def _by_page(self, way: Way) -> Token:
        """Return the token that comes of authorising at the service's page, by *way*."""
        if way == "device":
            return await self._by_device()
        flow = self._flow(way)
        self._note(f"redirect URI, to be registered at the service, to the letter: {self._callback}.")
        if flow.server.is_oauth1:
            return await self._by_oauth1(flow)
        state, verifier = oauth.new_state(), oauth.new_verifier()
        self._hide(verifier)
        try:
            url = oauth.authorize_url(
                flow.server,
                self._instance.client,
                redirect_uri=flow.redirect_uri,
                scopes=flow.scopes,
                state=state,
                verifier=verifier,
            )
        except OAuthError as error:
            raise self._refusal(error, "authorise") from None
        await self._look_at(url)
        callback = await self._came_back(flow, url, state)
        try:
            request = oauth.code_request(
                flow.server,
                self._instance.client,
                code=callback.code,
                verifier=verifier,
                redirect_uri=flow.redirect_uri,
                accept=self._instance.provider.accept,
            )
            token = oauth.read_token(await self._sent(request), now=time.time(), path=flow.server.token_path)
        except (OmnibotError, ValueError) as error:
            raise self._refusal(error, "token") from None
        self._tell_token(token, flow.scopes)
        return token

    async def _by_oauth1(self, flow: Flow) -> Token:
        """Return the token that comes of OAuth 1.0a: by callback, or by a PIN."""
        if flow.way == "pin":
            flow = replace(flow, redirect_uri=oauth1.OUT_OF_BAND)
        try:
            temporary = await self._exchange.temporary(self._instance, flow)
        except (OmnibotError, ValueError) as error:
            raise self._refusal(error, "temporary credentials") from None
        self._hide(temporary.secret)
        self._good("temporary credentials: the service takes the consumer key and its signature.")
        url = oauth1.authorize_url(flow.server, temporary)
        if flow.way == "pin":
            self._say(f"Open this address, and authorise the bot:\n  {url}")
            verifier = (await self._talk.ask_secret("The PIN that it shows (it is not shown here): ")).strip()
        else:
            verifier = (await self._came_back(flow, url, temporary.access)).code
        self._hide(verifier)
        try:
            request = oauth1.token_request(flow.server, self._instance.client, temporary, verifier)
            token = oauth1.read_token(await self._sent(request))
        except (OmnibotError, ValueError) as error:
            raise self._refusal(error, "token") from None
        self._hide(token.access, token.secret)
        self._good("token: of OAuth 1.0a, without an end and without scopes.")
        return token

    async def _by_device(self) -> Token:
        """Return the token that comes of a device's code (RFC 8628)."""
        flow = self._flow("device")
        try:
            said = await self._exchange.device_code(self._instance, flow)
            self._hide(said.device_code)
            self._say(f"Open {said.page} and type the code {said.user_code} there.")
            until, pause = time.monotonic() + min(said.lasts, self._wait), said.interval
            while time.monotonic() < until:
                await asyncio.sleep(pause)
                try:
                    token = await self._exchange.device_token(self._instance, flow, said.device_code)
                except OAuthError as error:
                    if error.code not in ("authorization_pending", "slow_down"):
                        raise
                    pause += 5.0 if error.code == "slow_down" else 0.0
                else:
                    self._tell_token(token, flow.scopes)
                    return token
        except (OmnibotError, ValueError) as error:
            raise self._refusal(error, "device") from None
        raise _Stop("device: nobody typed the code in time.", "Try again.")

    async def _look_at(self, url: str) -> None:
        """Ask for the authorization page as a browser without a login would: some mistakes show there at once."""
        request = Request("GET", url, {"Accept": "text/html"})
        origins = frozenset({origin_of(url)})
        try:
            answer = await self._http.send(request, origins=origins, private=self._instance.by_operator)
        except OmnibotError as error:
            self._note(f"authorise: {error}", "Perhaps your browser reaches it where this machine does not.")
            return
        address, _, query = answer.headers.get("location", "").partition("?")
        if 300 <= answer.status < 400 and address == self._callback and "error=" in query:
            try:
                refused = oauth.read_callback(query)
            except OAuthError as error:
                raise self._refusal(error, "authorise") from None
            raise self._refusal(OAuthError(refused.error or "bad_callback"), "authorise")
        if 400 <= answer.status < 500:
            self._note(
                f"authorise: the service answers {answer.status} to that address.",
                "If its page shows an error: most often client_id is another there, or the redirect URI is not the "
                "one above, to the letter.",
            )

    async def _came_back(self, flow: Flow, url: str, state: str) -> oauth.Callback:
        """Return the good answer that the browser brings back from *url*, with *state* in it."""
        where = f"Open this address in a browser, and authorise the bot:\n  {url}"
        if flow.way == "paste":
            callback = await self._pasted(where, state)
        else:
            callback = await self._awaited(where, flow, state)
        self._hide(callback.code)
        try:
            oauth.check_issuer(flow.server, callback)
            if callback.error:
                raise OAuthError(callback.error)
        except OAuthError as error:
            raise self._refusal(error, "authorise") from None
        self._good("authorise: the browser came back with an answer to this question.")
        return callback

    async def _pasted(self, where: str, state: str) -> oauth.Callback:
        self._say(where)
        self._say("It ends at a page that cannot be reached. Copy the whole address that the browser then shows.")
        for _ in range(_TRIES):
            text = await self._talk.ask("The address: ")
            if not text.strip():
                break
            try:
                callback = oauth.read_pasted(text, self._callback)
            except OAuthError:
                self._note(f"That is not an address that begins with {self._callback}.", "Paste all of it.")
                continue
            if hmac.compare_digest(callback.state.encode(), state.encode()):
                return callback
            self._note("That address is the answer to another question than this trial's.", "Open the one above.")
        raise _Stop(
            "authorise: no address came back.",
            f"If the service's page showed an error about the redirect URI, register {self._callback} there, to the "
            "letter.",
        )

    async def _awaited(self, where: str, flow: Flow, state: str) -> oauth.Callback:
        reader = oauth1.read_callback if flow.server.is_oauth1 else oauth.read_callback
        waiting = _Waiting(f"/callback/{self._instance.provider.name}/{self._instance.name}", state, reader)
        host, port = self._settings.listen
        server = Server(waiting.answer, lambda status: web.Response(status=status))
        await server.start(host, port)  # first, or the browser might be back before
        self._say(where)
        self._say(f"Waiting for the browser at {host}:{port}, for {self._wait / 60:.0f} minutes at most ...")
        try:
            async with asyncio.timeout(self._wait):
                return await waiting.came
        except TimeoutError:
            raise _Stop(
                "authorise: nobody came back in time.",
                f"If the service's page showed an error about the redirect URI, register {self._callback} there, to "
                f"the letter. If the browser could not reach that address, see that public_url leads to {host}:{port}.",
            ) from None
        finally:
            await server.stop()

    # ------------------------------------------------------------------------------- with the token

    async def _use(self, token: Token, *, by_key: bool) -> None:
        """See whose *token* is, refresh it, and hand it back; what goes wrong on the way stops none of the rest."""
        profile: Profile | None = None
        try:
            profile = await self._exchange.whose(self._instance, token, by_key=by_key)
            self._good(f"whoami: {profile.login} (id {profile.id}).")
        except (OmnibotError, ValueError) as error:
            if by_key and isinstance(error, OAuthError):
                what = f"whoami: {self._instance.title} does not take that key (status {error.status})."
                raise _Stop(what, "Copy it again, and whole; see that its API is switched on.") from None
            self._tell(self._refusal(error, "whoami").finding)
        if by_key:
            self._good("The key is your own, and stays as it is.")
            return
        token = await self._refreshed(token)
        await self._hand_back(token, profile)

    async def _refreshed(self, token: Token) -> Token:
        """Return *token* refreshed, if it can be."""
        server = self._instance.server
        if not token.refresh or server is None:
            self._note("refresh: there is no refresh token; people link again when theirs has run out.")
            return token
        accept = self._instance.provider.accept
        try:
            request = oauth.refresh_request(server, self._instance.client, token, accept=accept)
            answer = await self._sent(request)
            fresh = oauth.read_token(answer, now=time.time(), previous=token, path=server.token_path)
        except (OmnibotError, ValueError) as error:
            self._tell(self._refusal(error, "refresh").finding)
            return token
        self._hide(fresh.access, fresh.refresh)
        kept = "the same refresh token" if fresh.refresh == token.refresh else "a new refresh token"
        self._good(f"refresh: a new access token{_lifetime(fresh)}, and {kept}.")
        return fresh

    async def _hand_back(self, token: Token, profile: Profile | None) -> None:
        """Hand *token* back, where the service lets us and no link of the bot's would be cut."""
        one = self._instance
        where = one.provider.apps_url or one.title
        if not revocable(one):
            self._note("revoke: the service has no way for the bot to revoke.", f"Take the permission back at {where}.")
            return
        if profile is not None and await asyncio.to_thread(_is_linked, self._settings.data_dir, one, profile):
            what = "revoke: left out. The bot has this account linked, and revoking might cut that."
            self._note(what, f"If you want the trial's permission gone, take it back at {where}.")
            return
        value, hint = to_hand_back(one, token)
        try:
            outcome = await hand_back(self._http, one, replace(token, access=value), hint)
        except (OmnibotError, ValueError) as error:
            self._tell(self._refusal(error, "revoke").finding)
            return
        if outcome != "done":
            what = f"revoke: the service did not take the token back ({outcome})."
            self._tell(Finding("wrong", what, f"Take the permission back at {where}."))
        elif await self._is_good(token):
            self._note("revoke: the service says it is done; but it still takes the access token for a while.")
        else:
            self._good("revoke: done, and the service takes the token no more.")

    async def _is_good(self, token: Token) -> bool:
        """Whether the service still takes *token*."""
        try:
            await self._exchange.whose(self._instance, token)
        except (OmnibotError, ValueError):
            return False
        return True

    def _tell_token(self, token: Token, asked: Sequence[str]) -> None:
        self._hide(token.access, token.refresh)
        more = "with a refresh token" if token.refresh else "without a refresh token"
        self._good(f"token: a bearer's{_lifetime(token)}, {more}.")
        if token.scopes is None:
            self._note("scopes: the service does not say which it granted.")
            return
        self._good(f"scopes granted: {' '.join(token.scopes) or 'none'}.")
        if missing := [one for one in asked if one not in token.scopes]:
            self._note(f"scopes asked for and not named as granted: {' '.join(missing)}.")
        if extra := self._instance.provider.unasked(asked, token.scopes):
            refuses = self._instance.extra_scopes == "refuse"
            cure = "The configuration refuses such links (extra_scopes)." if refuses else "People will be told."
            self._note(f"scopes granted that nobody asked for: {' '.join(extra)}.", cure)

    async def _sent(self, request: Request) -> Answer:
        one = self._instance
        return await self._http.send(request, origins=one.origins, private=one.by_operator)

    def _flow(self, way: Way) -> Flow:
        """Return a flow as linking has them, which nobody keeps."""
        one, now = self._instance, time.time()
        return Flow(
            id="trial",
            person="",
            identity=Identity("trial", "operator"),
            provider=one.provider.name,
            instance=one.name,
            way=way,
            assurance=Assurance.STRONG,
            scopes=tuple(dict.fromkeys((*one.provider.base_scopes, *one.scopes))),
            asked=Asked("", "", ""),
            redirect_uri=self._callback,
            server=one.server or AuthorizationServer("", ""),
            created=now,
            ticket_until=now + self._wait,
            until=now + self._wait,
        )


class _Passing:
    """Registers the bot where it does that by itself, and keeps nothing."""

    def __init__(self, redirect_uri: str) -> None:
        self._redirect_uri = redirect_uri
        self._client: ClientCredential | None = None

    def of(self, instance: Instance) -> ClientCredential | None:
        """Return the client that was made in this trial."""
        return self._client

    async def register(self, instance: Instance, http: Sender) -> ClientCredential:
        """Return a client at *instance*, made now."""
        self._client = await register_at(instance, http, self._redirect_uri)
        return self._client


class _Waiting:
    """Waits for the one browser that comes back to *path* with the *state* it was sent with."""

    def __init__(self, path: str, state: str, reader: Callable[[Sequence[tuple[str, str]]], oauth.Callback]) -> None:
        self.came: asyncio.Future[oauth.Callback] = asyncio.get_running_loop().create_future()
        self._path = path
        self._state = state
        self._reader = reader

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Take an answer of the service's from a browser; anything else is not found here."""
        request[ROUTE] = "/callback"
        if request.method != "GET" or request.path != self._path:
            return _page(404, "There is nothing here: a trial of omnibot waits for another address.")
        try:
            callback = self._reader(fields(request.rel_url.raw_query_string))
        except (OAuthError, ValueError):
            return _page(400, "This is no answer of the service's. Open the address that the trial shows once more.")
        if not hmac.compare_digest(callback.state.encode(), self._state.encode()):
            return _page(400, "This is the answer to another question. Open the address that the trial shows.")
        if not self.came.done():
            self.came.set_result(callback)
        return _page(200, "The trial has its answer. Close this page, and go back to your terminal.")


def _plain(line: str) -> str:
    """Return *line* with nothing in it that has no ink: a server's word may be in it."""
    return "".join(one if one.isprintable() else " " for one in line)


def _page(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text, headers=_SAFE_HEADERS)


def _lifetime(token: Token) -> str:
    return "" if token.expires is None else f" for {max(0.0, token.expires - time.time()):.0f} s"


def _is_linked(data_dir: Path, instance: Instance, profile: Profile) -> bool:
    """Whether the bot of *data_dir* has that account linked: read beside it, and without its keys."""
    path = data_dir / "omnibot.db"
    if not path.exists():
        return False
    sql = "SELECT 1 FROM accounts WHERE provider = ? AND instance = ? AND external = ? LIMIT 1"
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        try:
            return bool(connection.execute(sql, (instance.provider.name, instance.name, profile.id)).fetchone())
        except sqlite3.Error:
            return True  # not to be known, so nothing is risked


async def _refuse_beside_the_bot(settings: Settings) -> None:
    """Refuse a trial that needs the port on which the bot listens.

    Raises:
        UserError: the bot runs.
    """
    if await ask_running(settings, "status") is not None:
        host, port = settings.listen
        raise UserError(
            f"The bot runs: browsers that come back to {settings.public_url} reach it at {host}:{port}, and not this "
            "trial. Stop it for as long as the trial takes."
        )
