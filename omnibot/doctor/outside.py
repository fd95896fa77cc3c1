"""How the bot looks from outside: its port, and its public address fetched through whatever stands in front.

While the bot runs, it is asked on its control socket what it alone can answer at its public address.  While it does
not, the port is taken for these few seconds by a listener that knows nothing else.
"""

import asyncio
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web
from yarl import URL

from omnibot import control
from omnibot.adapter import Finding
from omnibot.config import Settings
from omnibot.configfile import is_loopback
from omnibot.control import NotRunning
from omnibot.edge import Server
from omnibot.errors import ConfigError, OmnibotError
from omnibot.markup import printable
from omnibot.probe import Probe
from omnibot.wire import origin_of

_SECONDS = 15.0
_MOST = 4096
_SOON_DAYS, _NOW_DAYS = 21.0, 3.0
"""Days before its end at which a certificate should have been renewed; Let's Encrypt's are after 60 of 90."""

_NO_LINK = "Whoever opens a link of the bot's does not come to the bot."
_FROM_WITHIN = (
    "If browsers elsewhere do get there, it is this machine that cannot reach its own address (some routers do not "
    "let it): then this says nothing."
)


type Proof = Callable[[str], Awaitable[str]]
"""Tells what the bot, and nobody else, says of a nonce."""


@dataclass(frozen=True, slots=True)
class _Fetched:
    """What came back from the public address."""

    status: int
    headers: dict[str, str] = field(repr=False)
    body: str = field(repr=False)


def metrics(settings: Settings) -> list[Finding]:
    """Tell when others than this machine may read what the bot counts."""
    if settings.metrics is None or is_loopback(settings.metrics[0]):
        return []
    host, port = settings.metrics
    where = f"{f'[{host}]' if ':' in host else host}:{port}"
    what = f"metrics.listen: {where} can be reached from other machines."
    why = "There is no login: whoever gets there sees what networks, services and skills there are, and how busy."
    return [Finding("note", what, "Listen on 127.0.0.1, or let a firewall pass your Prometheus alone.", why)]


async def listener(settings: Settings, *, running: bool, needed: bool, offline: bool) -> list[Finding]:
    """Look at the port and, unless *offline*, at the public address.

    *needed* tells whether the bot listens at all; *running*, whether it runs now.
    """
    host, port = settings.listen
    where = f"{f'[{host}]' if ':' in host else host}:{port}"
    if settings.public_url is None:
        found = [_no_public_url()]
    elif offline or not port:
        found = []
    else:
        found = await certificate(settings.public_url)
    if running:
        return [*found, *([] if offline or settings.public_url is None else await _of_the_bot(settings))]
    probe = Probe()
    try:
        async with _standing_in(probe, settings):
            found.insert(0, Finding("good", f"The listener can have {where}."))
            if not offline and settings.public_url is not None and port:
                found += await _through(settings, lambda nonce: _known(probe, nonce))
    except ConfigError as error:
        (problem,) = error.problems
        why = "The bot does not run, and would not start." if needed else "The bot listens only for links."
        found.insert(0, Finding("wrong" if needed else "note", f"listen: {problem.what}.", f"{problem.cure}.", why))
    return found


def _no_public_url() -> Finding:
    why = "People link by pasting the address back, which is weaker against being talked into it."
    return Finding("note", "There is no public_url.", "Set one if browsers can reach this machine.", why)


# ------------------------------------------------------------------------------ the two ways to be asked


async def _of_the_bot(settings: Settings) -> list[Finding]:
    """Look whether it is the bot that runs here which answers at its public address."""

    async def proof(nonce: str) -> str:
        said = await control.ask(settings.data_dir, "probe", {"nonce": nonce}, lambda _: None)
        return str(said["proof"])

    try:
        return await _through(settings, proof)
    except NotRunning:
        return []  # it has just ended
    except OmnibotError as error:
        return [Finding("note", f"The running bot cannot tell whether it is reached: {error}")]


async def _known(probe: Probe, nonce: str) -> str:
    return probe.proof(nonce)


@asynccontextmanager
async def _standing_in(probe: Probe, settings: Settings) -> AsyncIterator[None]:
    """Listen where the bot would, and answer what *probe* is asked; nothing else, and nobody else.

    Raises:
        ConfigError: the port is not to be had.
    """

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        nonce = request.rel_url.raw_path.removeprefix("/check/")
        if nonce == request.rel_url.raw_path or len(nonce) > 64:
            return web.Response(status=503, text="omnibot does not run yet.\n")
        if not _names_us(request.headers.getall("Host", []), settings.public_url):
            return web.Response(status=421)
        return web.Response(text=probe.answer(nonce), headers={"Cache-Control": "no-store"})

    server = Server(answer, lambda status: web.Response(status=status))
    await server.start(*settings.listen)
    try:
        yield
    finally:
        await server.stop()


def _names_us(hosts: list[str], public_url: str | None) -> bool:
    """Whether the Host headers are the one that browsers send to *public_url*."""
    if public_url is None or len(hosts) != 1:
        return False
    try:
        return origin_of(f"{urlsplit(public_url).scheme}://{hosts[0]}") == origin_of(public_url)
    except ValueError:
        return False


# ---------------------------------------------------------------------------------------------- fetching


async def _through(settings: Settings, proof: Proof) -> list[Finding]:
    """Fetch from the public address what only the bot can say, twice, and compare it with *proof*."""
    base = settings.public_url or ""
    nonce = secrets.token_urlsafe(24)
    expected = await proof(nonce)
    fetched = await _fetch(f"{base}/check/{nonce}")
    if isinstance(fetched, Finding):
        return [fetched]
    said, _, once = fetched.body.partition(".")
    if fetched.status != 200 or said != expected:
        return [_another(settings, fetched)]
    again = await _fetch(f"{base}/check/{nonce}")
    if isinstance(again, _Fetched) and again.body == f"{said}.{once}":
        why = "Pages of a link would be kept and shown to others."
        cure = "Switch caching off in what stands before it, for this host: the bot says Cache-Control: no-store."
        return [Finding("wrong", f"{base} is answered from a cache.", cure, why)]
    return [Finding("good", f"{base} comes to this bot.")]


def _another(settings: Settings, fetched: _Fetched) -> Finding:
    """Return what is to be said of an answer that is not the bot's."""
    host, port = settings.listen
    base, to = settings.public_url, f"http://{host}:{port}"
    if 300 <= fetched.status < 400:
        there = printable(fetched.headers.get("location", "nowhere")[:200]).partition("/check/")[0]
        what = f"{base} redirects to {there}."
        why = "Links, cookies and the redirect URI are for one address; what is sent to another is lost on the way."
        return Finding("wrong", what, "Set public_url to the address that answers, or take the redirect out.", why)
    if fetched.status == 421:
        what = f"{base} comes to the bot without its own name: the proxy changes the Host header."
        cure = f"Let it hand the browser's Host on: in nginx, proxy_set_header Host {urlsplit(base or '').netloc};"
        return Finding("wrong", what, cure, "The bot answers to no other name, and to nobody then.")
    if fetched.status in (502, 503, 504):
        what = f"{base} answers {fetched.status}: what stands before the bot does not reach it."
        return Finding("wrong", what, f"Let it forward to {to}.", _NO_LINK)
    what = f"{base} is answered by something else ({fetched.status})."
    return Finding("wrong", what, f"Let the proxy forward all of this host to {to}, its paths unchanged.", _NO_LINK)


async def _fetch(url: str) -> _Fetched | Finding:
    """Fetch *url* as a browser's first request would, following nothing; or return why that failed."""
    base, host = origin_of(url), urlsplit(url).hostname
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(), force_close=True)
    session = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=_SECONDS),
        trust_env=False,
    )
    try:
        async with session, session.get(URL(url, encoded=True), allow_redirects=False) as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            body = (await response.content.read(_MOST)).decode("utf-8", "replace")
            return _Fetched(response.status, headers, body)
    except TimeoutError:
        why = f"{_NO_LINK} {_FROM_WITHIN}"
        return Finding("note", f"{base} does not answer this machine.", "See that the port is open.", why)
    except aiohttp.ClientConnectorDNSError:
        cure = "Enter the name in the DNS, or correct public_url."
        return Finding("wrong", f"The name {host} of public_url is not known in the DNS.", cure, _NO_LINK)
    except aiohttp.ClientSSLError as error:
        return _untrusted(base, error)
    except aiohttp.ClientConnectorError:
        cure = "See that the proxy runs, and that the port is open."
        return Finding("wrong", f"{base} cannot be connected to.", cure, f"{_NO_LINK} {_FROM_WITHIN}")
    except aiohttp.ClientError:
        return Finding("wrong", f"{base} does not speak HTTP as it should.", "See what listens there.", _NO_LINK)


def _untrusted(base: str, error: aiohttp.ClientSSLError) -> Finding:
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None)
    if isinstance(cause, ssl.SSLCertVerificationError):
        what = f"The certificate of {base} is not to be trusted: {cause.verify_message}."
        cure = "Have one made for this name by an authority that browsers know, as Caddy and certbot do, and renewed."
        return Finding("wrong", what, cure, "Browsers warn people off, and services do not send them back.")
    return Finding("wrong", f"{base} does not speak TLS.", "Let the proxy do so there.", _NO_LINK)


# ------------------------------------------------------------------------------------------- certificate


async def certificate(public_url: str, now: float | None = None) -> list[Finding]:
    """Look how long the certificate of *public_url* holds; one that cannot be had is left to the fetching.

    *now* is in Unix seconds.
    """
    parts = urlsplit(public_url)
    if parts.scheme != "https":
        return []
    try:
        async with asyncio.timeout(_SECONDS):
            _, writer = await asyncio.open_connection(
                parts.hostname, parts.port or 443, ssl=ssl.create_default_context(), server_hostname=parts.hostname
            )
    except (OSError, TimeoutError):
        return []
    shown = writer.get_extra_info("peercert") or {}
    writer.transport.abort()
    until = str(shown.get("notAfter", ""))
    if not until:
        return []
    days = (ssl.cert_time_to_seconds(until) - (time.time() if now is None else now)) / 86400
    what = f"The certificate of {public_url} ends in {days:,.0f} days ({until})."
    if days > _SOON_DAYS:
        return [Finding("good", what)]
    why = "It should have been renewed by now; browsers then turn people away, and services do not send them back."
    return [Finding("wrong" if days <= _NOW_DAYS else "note", what, "See why the proxy does not renew it.", why)]
