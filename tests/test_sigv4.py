"""Signature Version 4, by the vectors that AWS published: its signing guide's, and its test suite's."""

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest

from omnibot.provider import Token
from omnibot.sigv4 import SigV4Signer
from omnibot.wire import Answer, Request

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
KEY = f"AKIDEXAMPLE:{SECRET}"
WHEN = datetime(2015, 8, 30, 12, 36, tzinfo=UTC).timestamp()
SESSION = (
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwth"
    "Ax7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY"
    "9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
)
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
SUITE = "https://example.amazonaws.com/"


def signed(request: Request, access: str = KEY, **how: Any) -> Request:
    return next(SigV4Signer(lambda: WHEN, **how).sign(request, Token(access)))


@pytest.mark.parametrize(
    ("request_", "access", "headers", "signature"),
    [
        (
            Request("GET", SUITE), KEY, "host;x-amz-date",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            Request("GET", f"{SUITE}?Param2=value2&Param1=value1"),
            KEY,
            "host;x-amz-date",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            Request("POST", SUITE), KEY, "host;x-amz-date",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        ),
        (
            Request("POST", SUITE, FORM, b"Param1=value1"),
            KEY,
            "content-type;host;x-amz-date",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
        (
            Request("POST", SUITE),
            f"{KEY}:{SESSION}",
            "host;x-amz-date;x-amz-security-token",
            "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
        ),
    ],
    ids=["get-vanilla", "query-order", "post-vanilla", "form", "session"],
)  # fmt: skip
def test_the_published_test_suite(request_: Request, access: str, headers: str, signature: str) -> None:
    """The ``Authorization`` header is what AWS has, to the letter."""
    said = signed(request_, access, service="service").headers["Authorization"]

    scope = "AKIDEXAMPLE/20150830/us-east-1/service/aws4_request"
    assert f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={headers}, Signature={signature}" == said


def test_the_signing_guides_example() -> None:
    """A question to IAM, whose host names no region."""
    kind = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    said = signed(Request("GET", "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08", kind))

    assert said.headers["Authorization"].endswith(
        "Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, SignedHeaders=content-type;host;x-amz-date, "
        "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    )
    assert "20150830T123600Z" == said.headers["x-amz-date"]


@pytest.mark.parametrize(
    ("host", "scope"),
    [
        ("ec2.eu-west-1.amazonaws.com", "eu-west-1/ec2"),
        ("sts.amazonaws.com", "us-east-1/sts"),
        ("ec2.cn-north-1.amazonaws.com.cn", "cn-north-1/ec2"),
    ],
)
def test_service_and_region_are_the_hosts(host: str, scope: str) -> None:
    assert f"/20150830/{scope}/aws4_request" in signed(Request("GET", f"https://{host}/")).headers["Authorization"]


def test_what_is_signed_is_what_is_sent() -> None:
    """A space may be a plus in a form, and is an escape in what AWS signs."""
    sent = signed(Request("GET", "https://ec2.eu-west-1.amazonaws.com/?b=x+y&a=%7e%C3%BC&c"))

    assert "https://ec2.eu-west-1.amazonaws.com/?a=~%C3%BC&b=x%20y&c=" == sent.url


def test_what_a_skill_set_in_the_credentials_place_is_not_sent() -> None:
    """Nor is somebody else's session token signed along."""
    other = {"authorization": "Bearer x", "Cookie": "a=b", "X-Amz-Security-Token": "stolen", "X-Amz-Date": "never"}
    sent = signed(Request("GET", SUITE, other))

    assert {"Authorization", "x-amz-date"} == set(sent.headers)


@pytest.mark.parametrize(
    "access", ["", "AKIDEXAMPLE", f":{SECRET}", "AKIDEXAMPLE:", f"AKID EXAMPLE:{SECRET}", f"{KEY}\n"]
)
def test_what_is_no_key_is_not_used(access: str) -> None:
    """And the error does not repeat it."""
    with pytest.raises(ValueError, match="no access key") as caught:
        signed(Request("GET", SUITE), access)

    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(("status", "ahead", "again"), [(403, 900.0, True), (403, 60.0, False), (200, 900.0, False)])
def test_a_clock_that_is_wrong_is_put_right_once(status: int, ahead: float, again: bool) -> None:
    """A machine whose clock is off has not lost its people's keys: it signs again by the service's."""
    steps = SigV4Signer(lambda: WHEN).sign(Request("GET", SUITE), Token(KEY))
    next(steps)
    date = format_datetime(datetime.fromtimestamp(WHEN + ahead, UTC), usegmt=True)
    more = []
    try:
        more.append(steps.send(Answer(status, {"date": date})))
        more.append(steps.send(Answer(status, {"date": date})))
    except StopIteration:
        pass

    assert (["20150830T125100Z"] if again else []) == [one.headers["x-amz-date"] for one in more]


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 99 Foo 2015 12:00:00 GMT"])
def test_a_service_that_does_not_tell_the_time_is_not_asked_again(date: str) -> None:
    steps = SigV4Signer(lambda: WHEN).sign(Request("GET", SUITE), Token(KEY))
    next(steps)

    with pytest.raises(StopIteration):
        steps.send(Answer(403, {"date": date} if date else {}))


def test_s3_has_its_path_signed_as_it_is_sent() -> None:
    """And the hash of the body is beside it."""
    sent = signed(Request("GET", "https://s3.eu-west-1.amazonaws.com/a%20b/%E1%88%B4"))

    assert "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" == sent.headers["x-amz-content-sha256"]
    assert "/a%20b/" in sent.url
