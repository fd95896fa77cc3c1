"""Nothing that a stranger, a service or an operator can send raises anything that nobody expects.

Each target is fed inputs that are made from seeds, 20,000 of them in all and half a million by ``make fuzz``;
the lines of IRC, in `adapters/irc/test_fuzz.py`, are as many again.  What a target may raise is what its
docstring says; whatever else it raises fails, and the seed is named.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

import pytest

from adapters.discord import speech as discord_speech
from adapters.irc import speech as irc_speech
from adapters.matrix import people as matrix_people
from adapters.matrix import signing as matrix_signing
from adapters.matrix import speech as matrix_speech
from adapters.matrix.settings import Settings as MatrixSettings
from fuzz import hostile
from fuzzing import share
from omnibot import bodies, control, discovery, edge, oauth, oauth1, trouble
from omnibot.catalogue import SHIPPED, Instances, ProviderSettings, load_catalogue
from omnibot.clients import read_client
from omnibot.command import Commands, bind, compose, holds_secret
from omnibot.config import load
from omnibot.errors import ConfigError, OAuthError, UsageError
from omnibot.identity import Identity
from omnibot.markup import AnsiRenderer, HtmlRenderer, MarkdownRenderer, PlainRenderer, code, escape, fmt, parse
from omnibot.message import Reply, load_message, unquoted
from omnibot.provider import Instance, Secret
from omnibot.registry import find_skills
from omnibot.splitting import split
from omnibot.testing.bench import Bench, Plan
from omnibot.vault import Keyring
from omnibot.wire import Answer, Request

ROOT = Path(__file__).parents[2]
REDIRECT = "http://127.0.0.1:9/callback/oidc/default"
TOKEN_KEYS = (
    "access_token", "refresh_token", "token_type", "expires_in", "scope", "error", "error_description", "id_token",
    "device_code", "user_code", "verification_uri", "interval", "oauth_token", "oauth_token_secret",
    "oauth_callback_confirmed", "client_id", "client_secret",
)  # fmt: skip
METADATA_KEYS = (
    "issuer", "authorization_endpoint", "token_endpoint", "revocation_endpoint", "device_authorization_endpoint",
    "code_challenge_methods_supported", "token_endpoint_auth_methods_supported", "userinfo_endpoint",
    "authorization_response_iss_parameter_supported",
)  # fmt: skip
QUERIES = (
    "code=abc", "state=abc", "iss=https://login.example.org", "error=access_denied", "oauth_token=a", "denied=a",
    "oauth_verifier=b", "&", "=", "?", "#", "+", "code", "state", REDIRECT, f"{REDIRECT}?", "&&", "%26", "%00",
)  # fmt: skip
HEADERS = (
    "retry-after",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-poll-interval",
    "content-type",
    "x-request-id",
)
EVENT_KEYS = (
    "type", "sender", "event_id", "content", "msgtype", "body", "format", "formatted_body", "m.relates_to", "rel_type",
    "m.mentions", "user_ids", "room", "origin_server_ts", "unsigned", "m.in_reply_to", "m.new_content", "signatures",
    "keys", "master_keys", "self_signing_keys", "device_keys", "@bot:example.org", "ed25519:AAAA", "usage", "user_id",
)  # fmt: skip
EVENT_WORDS = ("m.room.message", "m.text", "m.notice", "m.replace", "m.thread", "@a:b.c", "@bot:example.org", "$x",
               "> <@a:b.c> x\n\ny", "org.matrix.custom.html", "master", "!ping", "bot: !ping")  # fmt: skip


@dataclass(frozen=True)
class Target:
    """Something that is fed; *feed* makes one input from chance, and raises if it is taken wrongly."""

    name: str
    percent: float
    feed: Callable[[Random], None]


@cache
def book() -> Commands:
    """Every command there is."""
    names = sorted(one.stem for one in (ROOT / "skills").glob("*.py") if not one.stem.startswith("_"))
    made = Commands()
    for skill in find_skills(names):
        for command in skill.commands:
            made.add(command)
    return made


@cache
def words() -> tuple[str, ...]:
    """What stands in commands, and what is often said to them."""
    names = {word for command in book() for word in command.path} | {command.name for command in book()}
    options = {f"--{one.name}" for command in book() for one in command.parameters if one.option}
    return (*sorted(names), *sorted(options), "acme/site", "12", "demo", "demo@work", "yes", '"a b"', "“a b”", "--help")


@cache
def instance() -> Instance:
    """A service that describes itself."""
    settings = ProviderSettings("omnibot", Secret("secret"), issuer="https://login.example.org")
    return Instances(load_catalogue(SHIPPED), {"oidc": settings}).get("oidc")


def feed_commands(random: Random) -> None:
    """A line is a command and its arguments, or what is wrong with it is said."""
    line = hostile.text(random, words())
    call = book().find(line)
    holds_secret(call) if call else (book().below(line), book().nearest(line[:200]))
    unquoted(line)
    if call is not None:
        try:
            given = bind(call.command, call.rest)
        except UsageError:
            return
        with contextlib.suppress(ValueError):  # no line says that: nobody could have typed it
            again = book().find(compose(call.command, given, call.selector, "", book()))
            assert again is not None


def feed_messages(random: Random) -> None:
    """A stored message is one, or is not."""
    keys = (
        "network",
        "id",
        "speaker",
        "channel",
        "text",
        "at",
        "assurance",
        "addressed",
        "origin",
        "edit",
        "kind",
        "key",
    )
    with contextlib.suppress(ValueError, RecursionError):
        load_message(hostile.body(random, keys, ("identity", "guest", "person")).decode("utf-8", "replace"))


def feed_markup(random: Random) -> None:
    """Every renderer shows every text, and what was escaped is shown as it was."""
    said = hostile.text(random)
    for one in (PlainRenderer(), AnsiRenderer(), MarkdownRenderer(), HtmlRenderer(), irc_speech.IrcRenderer()):
        one.render(said)
        one.render(fmt("**{}** {}", said, code(said)))
    parse(escape(said))
    html = HtmlRenderer().render(said).lower()
    assert "<script" not in html
    assert "javascript:" not in html.replace("&", "").partition('href="')[2][:11]


def feed_splitting(random: Random) -> None:
    """Every piece fits, whatever is cut."""
    said, limit = hostile.text(random), random.choice((64, 65, 120, 400))
    for piece in split(said, limit):
        assert len(piece) <= limit
    said = said.encode("utf-8", "replace").decode()
    for piece in split(said, limit, "bytes", 1):
        assert len(piece.encode()) <= limit
    for piece in irc_speech.pieces(irc_speech.IrcRenderer().render(said), limit):
        assert len(piece.encode()) <= limit
        assert not set("\r\n\0") & set(piece)


def feed_discord(random: Random) -> None:
    """Every answer is put into messages that Discord takes."""
    said = discord_speech.pieces(Reply(hostile.text(random)), embeds=random.random() < 0.5, files=random.random() < 0.5)
    for piece in said:
        assert len(piece.content) <= 2000
        assert len(piece.embed or "") <= 4096


def feed_matrix_words(random: Random) -> None:
    """Every answer becomes events, and their words are readable."""
    with contextlib.suppress(matrix_speech.TooLong):
        for content in matrix_speech.say(Reply(hostile.text(random))):
            json.dumps(content)


def feed_matrix_events(random: Random) -> None:
    """An event says something, or is not heard."""
    me = matrix_speech.Me("@bot:example.org", ("bot",))
    matrix_speech.hear(hostile.value(random, EVENT_KEYS, EVENT_WORDS, 4), me)
    said = hostile.value(random, EVENT_KEYS, EVENT_WORDS)
    matrix_people.server_of(said)
    matrix_people.sender("home", matrix_settings(), said, hostile.text(random))
    answer = hostile.object_of(random, EVENT_KEYS, EVENT_WORDS)
    matrix_signing.published(answer, "@bot:example.org", "master")
    matrix_signing.verified(answer, "@bot:example.org", "A" * 43)


@cache
def matrix_settings() -> MatrixSettings:
    """Those of a bot on Matrix."""
    return MatrixSettings(homeserver="https://example.org", user="@bot:example.org", password=Secret("x"))


def feed_callbacks(random: Random) -> None:
    """What comes back from a service in a browser or by hand is an answer, or is refused."""
    query = "&".join(hostile.text(random, QUERIES) for _ in range(random.choice((1, 2, 3))))
    with contextlib.suppress(ValueError):
        pairs = edge.fields(query)
        for read in (oauth.read_callback, oauth1.read_callback):
            with contextlib.suppress(OAuthError):
                read(pairs)
        oauth1.is_answer(pairs)
    with contextlib.suppress(OAuthError):
        oauth.read_callback(query)
    pasted = hostile.text(random, (*QUERIES, f"{REDIRECT}?code=a&state=b"))
    oauth.looks_pasted(pasted, REDIRECT)
    with contextlib.suppress(OAuthError):
        oauth.read_pasted(pasted, REDIRECT)


def feed_answers(random: Random) -> None:
    """What a service answers is understood, or is an error with a name."""
    kinds = (
        "application/json",
        "application/x-www-form-urlencoded",
        "text/xml",
        "text/html; charset=\x00",
        "application/x+xml",
    )
    headers = {
        name: hostile.text(random, ("0", "1", "120", "1e12", "Fri, 31 Dec 1999 23:59:59 GMT")) for name in HEADERS
    }
    headers["content-type"] = random.choice(kinds)
    status = random.choice((200, 200, 200, 204, 302, 400, 401, 403, 404, 429, 500, 999))
    token = Answer(status, headers, hostile.body(random, TOKEN_KEYS, ("bearer", "Bearer", "expired_token", "3600")))
    for read in (oauth.read_device_code, oauth1.read_request_token, oauth1.read_token, read_client):
        with contextlib.suppress(OAuthError):
            read(token)
    with contextlib.suppress(OAuthError):
        oauth.read_token(token, now=1e9, path=random.choice(("", "a.b", "authed_user")))
    urls = ("https://login.example.org", "https://login.example.org/token", "https://evil.example", "S256", "none")
    described = Answer(200, headers, hostile.body(random, METADATA_KEYS, urls))
    for describe in (discovery.read_metadata, discovery.read_userinfo_url):
        with contextlib.suppress(OAuthError):
            describe(instance(), described)
    bodies.read_body(token)
    bodies.read_body(Answer(200, {"content-type": "text/xml"}, hostile.data(random, _XML)))
    trouble.trouble(instance(), trouble.without_echo(token, Request("GET", "https://login.example.org/x")))
    trouble.poll_interval(token)


_XML = ("<a>", "</a>", "<b/>", "<a b='c'>", "<!DOCTYPE a [<!ENTITY x 'y'>]>", "&x;", "<?xml version='1.0'?>",
        "<![CDATA[", "<?xml version='1.0' encoding='utf-7'?>", "<a xmlns:x='y'>", "x")  # fmt: skip


def feed_control(random: Random) -> None:
    """Another user's line to the control socket is a question, or is none."""
    with contextlib.suppress(ValueError, RecursionError):
        control._asked(hostile.body(random, ("op", "args", "status")))


def feed_identities(random: Random) -> None:
    """A qualified name is an identity, and its own name again."""
    said = hostile.text(random, ("libera", ":", "#", "ada", "1700000000"))
    one = Identity.named(said)
    if "#" not in one.subject:
        assert Identity.named(str(one)) == one


TARGETS = (
    Target("commands", 8, feed_commands),
    Target("messages", 4, feed_messages),
    Target("markup", 5, feed_markup),
    Target("splitting", 5, feed_splitting),
    Target("discord", 3, feed_discord),
    Target("matrix words", 2, feed_matrix_words),
    Target("matrix events", 6, feed_matrix_events),
    Target("callbacks", 6, feed_callbacks),
    Target("answers", 5, feed_answers),
    Target("control", 2, feed_control),
    Target("identities", 2, feed_identities),
)


@pytest.mark.parametrize("target", TARGETS, ids=lambda one: one.name)
def test_nothing_unhandled(target: Target) -> None:
    """A seed that raises something is named."""
    for seed in range(share(target.percent)):
        try:
            target.feed(Random(seed))  # noqa: S311 - a seed, and no secret
        except Exception as error:
            raise AssertionError(f"{target.name}, seed {seed}") from error


CONFIGURATION = 0.6
"""Of a hundred inputs: reading YAML takes long."""


@pytest.mark.parametrize("kind", ["config", "catalogue", "key"])
def test_no_file_of_the_operators_raises_anything_else(kind: str, tmp_path: Path) -> None:
    """What is wrong with it is said in words, with its place."""
    whole = (ROOT / "config.example.yaml").read_text("utf-8")
    catalogue = sorted((ROOT / "omnibot" / "providers").glob("*.yaml"))
    for seed in range(share(CONFIGURATION)):
        random = Random(seed)  # noqa: S311 - a seed, and no secret
        path = tmp_path / "own.yaml"
        try:
            if kind == "config":
                path.write_bytes(hostile.mutated(random, whole).encode("utf-8", "surrogatepass"))
                with contextlib.suppress(ConfigError):
                    load(path, {})
            elif kind == "catalogue":
                one = random.choice(catalogue).read_text("utf-8")
                path.write_bytes(hostile.mutated(random, one).encode("utf-8", "surrogatepass"))
                with contextlib.suppress(ConfigError):
                    load_catalogue(tmp_path)
            else:
                path.write_bytes(hostile.data(random, ("0a1b2c3d", "QUFB" * 11, "#", "=", "\n")))
                path.chmod(0o600)
                with contextlib.suppress(ConfigError):
                    Keyring.load(path)
        except Exception as error:
            raise AssertionError(f"{kind}, seed {seed}") from error


@contextlib.contextmanager
def no_errors(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """See that nothing is logged as an error meanwhile."""
    with caplog.at_level(logging.ERROR):
        yield
    assert [] == [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR]


async def test_no_request_breaks_the_listener(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Over real connections: each is answered with a page of ours or hung up on, and never with an error of ours."""
    async with Bench.open(Plan(tmp_path, public=True)) as bench:
        with no_errors(caplog):
            for seed in range(share(1.2)):
                answer = await _asked(bench.plan.port, _request(Random(seed)))  # noqa: S311 - a seed
                assert not answer.startswith(b"HTTP/1.1 5"), f"seed {seed}: {answer[:200]!r}"


_PATHS = ("/", "/l/", "/l/" + "A" * 43, "/callback/demo/default", "/callback/x/y", "/done", "/code/", "/key/",
          "/style.css",          "/healthz", "/.", "/../etc/passwd", "//evil.example/", "/%2e%2e/", "/l/%00", "*",
          "http://evil.example/", "")  # fmt: skip


def _request(random: Random) -> bytes:
    """Return a request, or something that looks like one."""
    method = random.choice(
        ("GET", "GET", "POST", "POST", "HEAD", "PUT", "OPTIONS", "CONNECT", "get", "\x00", "G" * 300)
    )
    query = "&".join(hostile.text(random, QUERIES) for _ in range(random.randrange(4)))
    path = f"{random.choice(_PATHS)}?{query}" if query else random.choice(_PATHS)
    if random.random() < 0.8:
        path = "".join(one if "!" < one < "\x7f" else f"%{ord(one) % 256:02x}" for one in path)
    content = hostile.data(random, ("form=", "key=", "answer=", "&"))[:20_000]
    said = {
        "Host": random.choice(("127.0.0.1", "evil.example", "localhost:1", "a\x00b", "")),
        "Cookie": hostile.text(random, ("ob-abc=def", "__Host-ob-a=b", ";", "="))[:3000],
        "Origin": random.choice(("null", "https://evil.example", "http://127.0.0.1")),
        "Sec-Fetch-Site": random.choice(("same-origin", "cross-site", "none", "\xff")),
        "Content-Type": random.choice(
            ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "")
        ),
        "Content-Length": random.choice((str(len(content)),) * 4 + ("-1", "99999999999", "x", "0")),
        "Transfer-Encoding": random.choice(("", "", "", "", "chunked", "gzip, chunked")),
        "X-Forwarded-For": hostile.text(random, ("10.0.0.1", "::1", ","))[:500],
    }
    lines = [f"{method} {path} HTTP/{random.choice(('1.1', '1.1', '1.1', '1.0', '2.0', '9'))}"]
    lines += [f"{name}: {text}" for name, text in said.items() if text and random.random() < 0.75]
    lines.append("Connection: close")
    head = "\r\n".join(lines).encode("utf-8", "replace")
    if random.random() < 0.9:
        first, _, rest = head.partition(b"\r\n")
        head = first + b"\r\n" + rest
    return head + b"\r\n\r\n" + content


async def _asked(port: int, request: bytes) -> bytes:
    """Send *request*, hang up behind it, and return what comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        with contextlib.suppress(OSError):
            writer.write_eof()
            async with asyncio.timeout(30):
                return await reader.read()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return b""


async def test_no_words_in_chat_break_the_bot(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever is said to it in private, no handler of ours says that something broke."""
    async with Bench.open(Plan(tmp_path, skills=("accounts", "following", "help", "ping", "api", "notes"))) as bench:
        with no_errors(caplog):
            for seed in range(share(1)):
                random = Random(seed)  # noqa: S311 - a seed, and no secret
                line = hostile.text(random, words())
                if "forget" in line:
                    continue  # it may be said once a minute, and then asks
                said = await bench.say(line.encode("utf-8", "replace").decode())
                assert not any("Something broke" in one for one in said), f"seed {seed}"
