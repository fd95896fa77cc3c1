"""A signed request carries the person's credential, in one place, and nobody else's."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnibot.provider import Signer, Token
from omnibot.signers import BasicSigner, BearerSigner, HeaderSigner, may_set, signer_named
from omnibot.wire import Answer, Request

REQUEST = Request("GET", "https://api.example/x", {"Accept": "text/plain"}, b"body")


def signed(signer: Signer, credential: str, request: Request = REQUEST) -> Request:
    """Return what *signer* sends, having seen that it sends nothing more."""
    conversation = signer.sign(request, Token(credential))
    first = next(conversation)
    with pytest.raises(StopIteration):
        conversation.send(Answer(401))
    return first


@pytest.mark.parametrize(
    ("name", "credential", "header"),
    [
        ("bearer", "abc.def", ("Authorization", "Bearer abc.def")),
        ("basic", "ada:s3cret", ("Authorization", "Basic YWRhOnMzY3JldA==")),
        ("basic", "ada:pä\n", ("Authorization", "Basic YWRhOnDDpAo=")),
        ("header:X-Redmine-API-Key", "abc", ("X-Redmine-API-Key", "abc")),
    ],
)
def test_where_each_signer_puts_the_credential(name: str, credential: str, header: tuple[str, str]) -> None:
    """The header is added; the rest of the request stays what it was."""
    request = signed(signer_named(name), credential)

    assert Request("GET", REQUEST.url, {"Accept": "text/plain", header[0]: header[1]}, b"body") == request


@pytest.mark.parametrize("signer", [BearerSigner(), BasicSigner(), HeaderSigner("X-Key")])
def test_no_other_credential_is_sent(signer: Signer) -> None:
    """A skill cannot put a credential of its own beside, or in place of, the person's."""
    theirs = {"authorization": "Bearer evil", "COOKIE": "session=evil", "x-key": "evil"}

    request = signed(signer, "abc", Request("GET", REQUEST.url, theirs))
    kept = [value for name, value in request.headers.items() if name.lower() != "x-key" or name == "X-Key"]

    assert 1 == len(kept)
    assert "evil" not in kept[0]


@given(st.text())
def test_no_credential_writes_a_second_header(credential: str) -> None:
    """Whatever is in a credential, what is sent is one printable line, or nothing."""
    for signer in (BearerSigner(), BasicSigner(), HeaderSigner("X-Key")):
        try:
            headers = next(signer.sign(REQUEST, Token(credential))).headers
        except ValueError as error:
            headers = {"": str(error)}

        assert all(re.fullmatch(r"[ -~]+", value) for value in headers.values())


def test_a_refused_credential_is_not_repeated() -> None:
    """The error for a credential with a line break does not hold it."""
    with pytest.raises(ValueError, match=r"^this credential cannot be sent in a header$"):
        next(BearerSigner().sign(REQUEST, Token("canary\n")))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "beaerer",
        "header",
        "header:",
        "header:X Key",
        "header:X\nKey",
        "header:Host",
        "header:cookie",
        "query:t",
    ],
)
def test_other_names_are_refused(name: str) -> None:
    """What is no signer, or no header for a credential, is said with the name."""
    with pytest.raises(ValueError, match="is not a way to sign requests"):
        signer_named(name)


@pytest.mark.parametrize(
    "name", ["Authorization", "cookie", "HOST", "Content-Length", "X-HTTP-Method-Override", "Accept", "a b", "", "é"]
)
def test_headers_that_are_not_a_skills_to_set(name: str) -> None:
    """Who acts, where it goes, where it ends, and what a reading command may not turn into."""
    assert not may_set(name)
    assert may_set("Idempotency-Key")
