"""What is taken out of the log, in whatever form it comes, and what stays."""

import base64
import json
import logging
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnibot.logs import set_up
from omnibot.redaction import GONE, Redactor

SECRET = 'hunter2+/"= ünd so'
TOKEN = "gho_16C7e42F292c6912E7710c838347Ae178B4a"
TICKET = "7QdK2mVxJ0bN4sT8wZ1yR5uC9eL3hF6gA0pI2oM4kQs"


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """The root's handlers are the whole process's: they are put back."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        json.dumps({"a": SECRET})[7:-2],
        repr({"a": SECRET})[7:-2],
        *(base64.b64encode(f"{user}:{SECRET}".encode()).decode() for user in ("u", "us", "use", "user")),
        base64.urlsafe_b64encode(f"bot:{SECRET}:more".encode()).decode(),
    ],
)
def test_a_secret_of_the_configuration_goes_in_every_form(form: str) -> None:
    """Of base64 the inner part, which nobody can complete."""
    said = Redactor([SECRET])(f"before {form} after")

    assert GONE in said
    assert form not in said
    assert said.startswith("before ")
    assert said.endswith(" after")


@given(st.text(min_size=6, max_size=40), st.text(max_size=20), st.text(max_size=20))
def test_no_secret_comes_through(secret: str, before: str, after: str) -> None:
    """Whatever stands around it."""
    assert secret not in Redactor([secret])(f"{before}{secret}{after}").replace(GONE, "")


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (f"GET /l/{TICKET} from 127.0.0.1", ["GET /l/", "from 127.0.0.1"]),
        (
            f"https://bot.example/callback/x/y?code={TOKEN}&state={TICKET}&iss=https%3A%2F%2Fa",
            ["/callback/x/y?code=", "&iss="],
        ),
        (f'{{"access_token": "{TOKEN}", "expires_in": 3600}}', ['"access_token": "', '"expires_in": 3600']),
        (f"{{'refresh_token': '{TOKEN}'}}", ["'refresh_token': '"]),
        (json.dumps({"text": json.dumps({"client_secret": TOKEN})}), ["client_secret"]),
        (f"headers={{'Authorization': 'Bearer {TOKEN}', 'Accept': '*/*'}}", ["'Authorization': '", "'Accept': '*/*'"]),
        (f'Authorization: OAuth oauth_token="{TOKEN}"', ["Authorization: "]),
        (f"sent Basic {base64.b64encode(TOKEN.encode()).decode()} there", ["sent Basic", "there"]),
        (f"Set-Cookie: __Host-ob-abc={TICKET}; Secure", ["Set-Cookie: "]),
        (f"cookie ob-f1={TICKET}", ["cookie"]),
        ("say KXQW-MNHZ to the bot", ["say ", " to the bot"]),
        (f"grant_type=refresh_token&refresh_token={TOKEN}&x=1", ["grant_type=refresh_token", "&x=1"]),
    ],
)
def test_what_looks_like_a_secret_goes(line: str, kept: list[str]) -> None:
    """The words around it stay, so that the line is of use."""
    said = Redactor()(line)

    assert TOKEN not in said
    assert TICKET not in said
    assert "KXQW-MNHZ" not in said
    assert base64.b64encode(TOKEN.encode()).decode() not in said
    assert all(one in said for one in kept), said


@pytest.mark.parametrize(
    "line",
    [
        "libera is ready (Libera.Chat)",
        "the token endpoint answered 503; next try in 8 s",
        "bearer authentication is what it asks for",
        "a basic misunderstanding",
        "GET /l/{ticket} 200 1234 B 5 ms from 127.0.0.1",
        "the state of ABCD-1234 is open",
        "linking demo@default failed: Upstream",
    ],
)
def test_what_operators_read_stays(line: str) -> None:
    """A log without its words is none."""
    assert line == Redactor(["short", ""])(line)


@pytest.mark.parametrize("style", ["pretty", "json"])
def test_the_log_shows_none_of_it(style: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither in words and their arguments, nor in tracebacks and their causes, nor in a stack."""
    set_up("debug", "json" if style == "json" else "pretty", [SECRET])
    log = logging.getLogger("aiohttp.client")
    log.debug("sending %s with %r", SECRET, {"Authorization": f"Bearer {TOKEN}"})
    try:
        try:
            raise ValueError(f"cause {SECRET}")
        except ValueError as error:
            raise RuntimeError(f"/l/{TICKET}") from error
    except RuntimeError:
        log.exception("it went wrong", stack_info=True)
    said = capsys.readouterr().err

    assert not any(one in said for one in (SECRET, json.dumps(SECRET)[1:-1], TOKEN, TICKET))
    assert said.count(GONE) >= 4
    assert "it went wrong" in said
    if style == "json":
        assert ["sending", "it went wrong"] == [json.loads(line)["text"].split(" [")[0] for line in said.splitlines()]
