"""What a service's answer says, also when the service means harm."""

import pytest

from omnibot.bodies import read_body
from omnibot.wire import Answer

IDENTITY = b"""<?xml version="1.0"?>
<a:GetCallerIdentityResponse xmlns:a="https://sts.amazonaws.com/doc/2011-06-15/" kind="x">
  <a:GetCallerIdentityResult><a:Arn>arn:aws:iam::1:user/ad&#97; &amp; co</a:Arn><a:Account/></a:GetCallerIdentityResult>
</a:GetCallerIdentityResponse>"""


def said(body: bytes, kind: str = "text/xml; charset=utf-8") -> object:
    return read_body(Answer(200, {"content-type": kind}, body))


def test_json_is_parsed_whatever_it_is_called() -> None:
    assert {"a": [1]} == said(b'{"a": [1]}', "text/plain")


@pytest.mark.parametrize("body", [b"", b"  \n"])
@pytest.mark.parametrize("kind", ["text/xml", "application/json"])
def test_nothing_is_none(body: bytes, kind: str) -> None:
    assert said(body, kind) is None


@pytest.mark.parametrize("kind", ["text/xml", "application/xml;charset=UTF-8", "application/atom+xml", "TEXT/XML"])
def test_xml_without_its_namespaces_and_attributes(kind: str) -> None:
    result = {"Arn": "arn:aws:iam::1:user/ada & co", "Account": ""}
    assert {"GetCallerIdentityResponse": {"GetCallerIdentityResult": result}} == said(IDENTITY, kind)


def test_what_is_there_more_than_once_is_a_list() -> None:
    """Also where the things themselves are empty, or mappings."""
    body = b"<r><s><i>1</i></s><s><i>2</i><i>3</i><i/></s><t>x</t></r>"
    assert {"r": {"s": [{"i": "1"}, {"i": ["2", "3", ""]}], "t": "x"}} == said(body)


def test_text_stays_text() -> None:
    assert "<p>Hello" == said(b"<p>Hello", "text/html")
    assert "{broken" == said(b"{broken", "application/json")


BOMB = b"""<!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><lolz>&b;</lolz>"""
EXTERNAL = b"""<!DOCTYPE a SYSTEM "file:///etc/passwd"><a>&x;</a>"""


@pytest.mark.parametrize(
    "body",
    [
        BOMB,
        EXTERNAL,
        b"<!DOCTYPE html><a/>",
        b"<a>&unknown;</a>",
        b"<a><b></a>",
        b"<a>",
        b"<a/><b/>",
        b"<x:a/>",
        b"\x00\xff\xfe<a",
        b"<a>" * 65 + b"</a>" * 65,
        b"<a>" * 200_000,
        b"<r>" + b"<a/>" * 100_001 + b"</r>",
        b'<?xml version="1.0" encoding="no-such"?><a/>',
        b'{"a": 1}',
    ],
    ids=[
        "bomb", "external", "doctype", "entity", "crossed", "open", "two roots", "prefix", "bytes", "deep",
        "bottomless", "many", "encoding", "json",
    ],
)  # fmt: skip
def test_hostile_and_broken_xml_is_only_text(body: bytes) -> None:
    """It is not expanded, nothing is fetched, and no error escapes."""
    assert body.decode("utf-8", "replace") == said(body)


def test_json_that_is_too_deep_is_only_text() -> None:
    body = b"[" * 100_000
    assert body.decode() == said(body, "application/json")


def test_depth_within_reason_is_read() -> None:
    found = said(b"<a>" * 64 + b"x" + b"</a>" * 64)
    for _ in range(64):
        assert isinstance(found, dict)
        found = found["a"]
    assert "x" == found
