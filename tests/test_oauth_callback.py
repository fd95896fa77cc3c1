"""An authorization answer is read strictly: from a callback, or from an address that a person pasted."""

from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnibot.errors import OAuthError
from omnibot.oauth import Callback, check_issuer, looks_pasted, read_callback, read_pasted
from omnibot.provider import AuthorizationServer

ISSUER = "https://as.example"
REDIRECT = "http://127.0.0.1:9/callback/demo/default"


def code_of(call: Any, *args: Any) -> str:
    """Return the code of the OAuthError that the *call* raises."""
    with pytest.raises(OAuthError) as caught:
        call(*args)
    return caught.value.code


def test_a_code_and_a_refusal_are_read() -> None:
    """Unknown parameters are passed over; a leading question mark is not expected."""
    both = [
        read_callback("code=c%2F1&state=s&iss=https%3A%2F%2Fas.example&x=1&x=2"),
        read_callback("error=no&state=s"),
    ]

    assert [Callback("s", "c/1", iss="https://as.example"), Callback("s", error="no")] == both


def test_decoded_pairs_are_read_alike() -> None:
    """A web framework's own decoding is as good, and its doubles are seen."""
    assert Callback("s", "c") == read_callback([("code", "c"), ("state", "s")])
    assert "bad_callback" == code_of(read_callback, [("code", "c"), ("state", "s"), ("state", "s")])


@pytest.mark.parametrize(
    "query",
    [
        "",
        "code=c",
        "state=s",
        "code=c&state=",
        "code=&state=s",
        "error=&state=s",
        "code=c&state=s&error=x",
        "code=c&state=s&error=",
        "code=c&state=s&state=s",
        "code=c&state=s&state=t",
        "code=c&code=d&state=s",
        "code=c&state=s&iss=a&iss=b",
        "code=c&state=s&iss=",
        "code=c%0d%0a&state=s",
        "code=c&state=s%00",
        "code=c&state=%C3%A9",
        "code=c&state=%FF",
        "code=c&state=s&error=a%0ab",
        f"code={'c' * 5000}&state=s",
        f"code=c&state={'s' * 600}",
        f"code=c&state=s&{'x=1&' * 60}",
        f"code=c&state=s&x={'y' * 20_000}",
    ],
)
def test_a_crooked_callback_is_refused(query: str) -> None:
    """A10: empty, missing, doubled, both at once, with control characters, or absurdly long."""
    assert "bad_callback" == code_of(read_callback, query)


def test_a_callback_is_not_printed() -> None:
    """State and code stay out of any repr."""
    assert "canary" not in repr(Callback("canary-state", "canary-code"))


@pytest.mark.parametrize(
    ("iss", "issuer", "said", "code"),
    [
        ("required", ISSUER, ISSUER, ""),
        ("required", ISSUER, "", "issuer_missing"),
        ("required", ISSUER, "https://evil.example", "issuer_mismatch"),
        ("required", ISSUER, f"{ISSUER}/", "issuer_mismatch"),
        ("required", ISSUER, ISSUER.upper(), "issuer_mismatch"),
        ("absent", ISSUER, "", ""),
        ("absent", ISSUER, ISSUER, ""),
        ("absent", ISSUER, "https://evil.example", "issuer_mismatch"),
        ("absent", "", "", ""),
        ("absent", "", ISSUER, "issuer_mismatch"),
    ],
)
@pytest.mark.parametrize("kind", ["code", "error"])
def test_the_issuer_is_compared_as_it_stands(kind: str, iss: Any, issuer: str, said: str, code: str) -> None:
    """A12, RFC 9207: character by character, missing where it is required, and for errors too."""
    server = AuthorizationServer("https://as.example/a", "https://as.example/t", issuer=issuer, iss=iss)
    callback = replace(Callback("s", iss=said), **{kind: "x"})  # type: ignore[arg-type]

    assert code == (code_of(check_issuer, server, callback) if code else "")
    if not code:
        check_issuer(server, callback)


# --------------------------------------------------------------------------------------- paste-back


@pytest.mark.parametrize("text", ["{}", "  {}\n", "<{}>", "`{}`", "```{}```", "` <{}> `"])
def test_a_pasted_address_is_read(text: str) -> None:
    """What chat programs put around an address is taken off."""
    pasted = text.format(f"{REDIRECT}?code=c&state=s")

    assert Callback("s", "c") == read_pasted(pasted, REDIRECT)
    assert looks_pasted(pasted, REDIRECT)


@pytest.mark.parametrize(
    "address",
    [
        "https://127.0.0.1:9/callback/demo/default",
        "http://127.0.0.1:10/callback/demo/default",
        "http://127.0.0.1/callback/demo/default",
        "http://localhost:9/callback/demo/default",
        "http://127.0.0.1.evil.example:9/callback/demo/default",
        "http://u@127.0.0.1:9/callback/demo/default",
        "http://127.0.0.1:9@evil.example/callback/demo/default",
        "http://127.0.0.1:9/callback/demo/other",
        "http://127.0.0.1:9/callback/demo/default/",
        "http://127.0.0.1:9/callback/demo/default#",
        "http://127.0.0.1:9/callback/demo/x/../default",
        "HTTP://127.0.0.1:9/callback/demo/default",
        "look: http://127.0.0.1:9/callback/demo/default",
        "127.0.0.1:9/callback/demo/default",
        "",
    ],
)
def test_an_address_that_is_not_ours_is_not_read(address: str) -> None:
    """A71: another scheme, host, port, path, user or fragment is refused before the code is looked at."""
    assert "not_our_address" == code_of(read_pasted, f"{address}?code=c&state=s", REDIRECT)
    assert "not_our_address" == code_of(read_pasted, f"{address}?code=c&code=d", REDIRECT)


def test_a_fragment_is_not_read() -> None:
    """An answer in a fragment, or with one behind it, is not one that we asked for."""
    assert "not_our_address" == code_of(read_pasted, f"{REDIRECT}?code=c&state=s#x", REDIRECT)
    assert "not_our_address" == code_of(read_pasted, f"{REDIRECT}#code=c&state=s", REDIRECT)


@pytest.mark.parametrize("text", ["4/0AX4XfWh", "code=4/0AX", "SplxlOBeZQQYbYS6WxSbIA", "", " ", "<>", "two words"])
def test_a_bare_code_is_refused(text: str) -> None:
    """A code without its address proves nothing about whose it is."""
    assert "bare_code" == code_of(read_pasted, text, REDIRECT)


def test_our_address_without_an_answer_is_refused() -> None:
    """The right address with a crooked query, or none, is a crooked callback."""
    assert ["bad_callback", "bad_callback", "bad_callback"] == [
        code_of(read_pasted, f"{REDIRECT}{query}", REDIRECT) for query in ("", "?", "?code=c&state=s&state=s")
    ]


@pytest.mark.parametrize(
    ("text", "looks"),
    [
        (f"look here: {REDIRECT}", True),
        ("https://evil.example/?code=c&state=s", True),
        ("https://evil.example/?state=s&error=x", True),
        ("<https://evil.example/#state=s&code=x>", True),
        ("https://wiki.example/?title=code&state", False),
        ("what is state= and code= good for?", False),
        ("KXQW-MNHZ", False),
        ("", False),
    ],
)
def test_what_looks_pasted(text: str, looks: bool) -> None:
    """Anything that may hold a code and a state does, so that it can be spent and taken out of a room."""
    assert looks == looks_pasted(text, REDIRECT)


_names = st.sampled_from(["state", "code", "error", "iss", "x"]) | st.text(max_size=3)
_pairs = st.lists(st.tuples(_names, st.text(max_size=10)), max_size=6)


@given(st.text() | _pairs.map(lambda pairs: urlencode(pairs, errors="surrogatepass")) | _pairs)
def test_any_callback_is_read_or_refused(query: str | list[tuple[str, str]]) -> None:
    """Nothing but OAuthError comes out, and what is read has one state and either a code or an error."""
    try:
        callback = read_callback(query)
    except OAuthError:
        return

    assert callback.state
    assert bool(callback.code) != bool(callback.error)


@given(st.text() | st.text().map(lambda rest: f"{REDIRECT}{rest}") | st.text().map(lambda rest: f"{REDIRECT}?{rest}"))
def test_any_pasted_text_is_read_or_refused(text: str) -> None:
    """Nothing but OAuthError comes out; what is read began with our address, and looked pasted before."""
    looked = looks_pasted(text, REDIRECT)
    try:
        callback = read_pasted(text, REDIRECT)
    except OAuthError:
        return

    assert looked
    assert callback.state
