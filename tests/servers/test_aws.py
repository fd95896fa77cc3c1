"""The gate in front of moto refuses what AWS refuses."""

import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from omnibot.bodies import read_body
from omnibot.provider import Token
from omnibot.sigv4 import SigV4Signer
from omnibot.wire import Answer, Request
from servers.aws.server import Aws, Named
from servers.aws.totp import code_of

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
WHO = Request("GET", "https://sts.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15")


def signed(request: Request, access: str, now: float | None = None) -> Request:
    return next(SigV4Signer(lambda: now or time.time()).sign(request, Token(access)))


async def sent(aws: Aws, request: Request) -> tuple[int, str]:
    """Return status and error code of the answer to *request*."""
    answer = await Named(aws).send(request, origins=frozenset({request.origin}), private=True)
    return answer.status, _code(answer)


def _code(answer: Answer) -> str:
    said = read_body(answer)
    if "ErrorResponse" in said:
        return str(said["ErrorResponse"]["Error"]["Code"])
    return str(said["Response"]["Errors"]["Error"]["Code"]) if "Response" in said else ""


def session(aws: Aws, **said: str) -> Request:
    body = "&".join(f"{name}={value}" for name, value in said.items())
    plain = f"Action=GetSessionToken&Version=2011-06-15&{body}".encode()
    return signed(Request("POST", "https://sts.amazonaws.com/", FORM, plain), aws.key())


@pytest.mark.parametrize(
    ("seconds", "code"), [(59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (20000000000, "353130")]
)
def test_codes_are_those_of_the_rfc(seconds: int, code: str) -> None:
    """RFC 6238, appendix B, the last six of its eight digits; its seed in base 32."""
    assert code == code_of("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", seconds // 30)


async def test_a_signature_has_to_fit(aws: Aws) -> None:
    """Method, address, headers, body, time, service and key: botocore makes it anew."""
    good = signed(WHO, aws.key())
    late = datetime.fromtimestamp(time.time() - 60, UTC).strftime("%Y%m%dT%H%M%SZ")
    said = good.headers["Authorization"]
    for other in (
        replace(good, method="POST"),
        replace(good, url=f"{good.url}&X=1"),
        replace(good, body=b"x"),
        replace(good, headers={**good.headers, "x-amz-date": late}),
        replace(good, headers={**good.headers, "x-amz-other": "unsigned"}),
        replace(good, headers={**good.headers, "Authorization": said.replace("us-east-1", "eu-west-1")}),
        replace(good, headers={**good.headers, "Authorization": said.replace("/sts/", "/ec2/")}),
        signed(WHO, f"{aws.key()}x"),
    ):
        status, code = await sent(aws, other)
        assert status in (401, 403), other.url
        assert code in ("SignatureDoesNotMatch", "AuthFailure"), other.url

    assert (200, "") == await sent(aws, good)
    assert (403, "MissingAuthenticationToken") == await sent(aws, WHO)
    assert (403, "InvalidClientTokenId") == await sent(aws, signed(WHO, "AKIANOBODY:secret"))


@pytest.mark.parametrize("off", [-400.0, 400.0])
async def test_a_signature_is_good_for_minutes(aws: Aws, off: float) -> None:
    ec2 = Request("GET", "https://ec2.eu-west-1.amazonaws.com/?Action=DescribeInstances&Version=2016-11-15")

    assert (403, "SignatureDoesNotMatch") == await sent(aws, signed(WHO, aws.key(), time.time() + off))
    assert (400, "RequestExpired") == await sent(aws, signed(ec2, aws.key(), time.time() + off))
    assert (200, "") == await sent(aws, signed(WHO, aws.key(), time.time() + off / 2))


async def test_a_session_needs_its_own_token(aws: Aws) -> None:
    """And, to open it, a device that is the person's, and a code of it that was not used."""
    device = aws.device()
    refused = [
        session(aws, SerialNumber=device, TokenCode=aws.wrong_code()),
        session(aws, SerialNumber=aws.device("bob"), TokenCode=aws.code()),
        session(aws, SerialNumber=device, TokenCode=aws.code("bob")),
    ]
    for one in refused:
        assert (403, "AccessDenied") == await sent(aws, one)
    assert (400, "ValidationError") == await sent(aws, session(aws, SerialNumber=device, TokenCode="12345"))
    opening = session(aws, SerialNumber=device, TokenCode=aws.code())
    opened = read_body(await Named(aws).send(opening, origins=frozenset({opening.origin}), private=True))
    made = opened["GetSessionTokenResponse"]["GetSessionTokenResult"]["Credentials"]
    pair = f"{made['AccessKeyId']}:{made['SecretAccessKey']}"

    assert (403, "AccessDenied") == await sent(aws, session(aws, SerialNumber=device, TokenCode=aws.code()))
    assert (200, "") == await sent(aws, signed(WHO, f"{pair}:{made['SessionToken']}"))
    assert (403, "InvalidClientTokenId") == await sent(aws, signed(WHO, pair))
    assert (403, "InvalidClientTokenId") == await sent(aws, signed(WHO, f"{pair}:another"))
    assert (403, "InvalidClientTokenId") == await sent(aws, signed(WHO, f"{aws.key()}:{made['SessionToken']}"))


async def test_stopping_wants_a_session_with_a_code(aws: Aws) -> None:
    """One without is not enough."""
    body = f"Action=StopInstances&Version=2016-11-15&InstanceId.1={aws.instances['alice@eu-west-1']}".encode()
    stop = Request("POST", "https://ec2.eu-west-1.amazonaws.com/", FORM, body)
    opening = session(aws)
    opened = read_body(await Named(aws).send(opening, origins=frozenset({opening.origin}), private=True))
    made = opened["GetSessionTokenResponse"]["GetSessionTokenResult"]["Credentials"]
    access = ":".join(made[name] for name in ("AccessKeyId", "SecretAccessKey", "SessionToken"))

    assert (403, "UnauthorizedOperation") == await sent(aws, signed(stop, aws.key()))
    assert (403, "UnauthorizedOperation") == await sent(aws, signed(stop, access))
    assert [("alice", False, "UnauthorizedOperation")] * 2 == aws.did("StopInstances")
