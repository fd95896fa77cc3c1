"""Where a POST wants a crumb it is fetched, once, and sent along in the session that it was made in."""

import json

import pytest

from omnibot.provider import Token
from omnibot.signers import CrumbSigner, signer_named
from omnibot.wire import Answer, Request

BASE = "https://ci.example/ci"
POST = Request("POST", f"{BASE}/job/x/build", {"Content-Type": "text/plain", "Cookie": "mine=evil"}, b"a=b")
REFUSED = Answer(403, {}, b"<p>HTTP ERROR 403 No valid crumb was included in the request</p>")
BASIC = "Basic YWRhOnMzY3JldA=="


def conversation(*answers: Answer, request: Request = POST) -> list[Request]:
    """Return what is sent, as long as there are *answers*."""
    steps = signer_named("crumb", base=BASE).sign(request, Token("ada:s3cret"))
    sent = [next(steps)]
    for answer in answers:
        try:
            sent.append(steps.send(answer))
        except StopIteration:
            break
    return sent


def issued(crumb: object = "abc123", name: object = "Jenkins-Crumb", cookies: str = "") -> Answer:
    body = json.dumps({"crumb": crumb, "crumbRequestField": name}).encode()
    return Answer(200, {"set-cookie": cookies} if cookies else {}, body)


@pytest.mark.row("J9")
def test_the_crumb_goes_along_with_its_session() -> None:
    """Signed, refused for lack of a crumb, crumb fetched, sent again: body and all."""
    cookies = "JSESSIONID.1=node0abc.node0; Path=/ci; HttpOnly\nremember=1; Secure"
    first, crumb, second = conversation(REFUSED, issued(cookies=cookies), Answer(201))

    assert {"Content-Type": "text/plain", "Authorization": BASIC} == first.headers
    assert ("GET", f"{BASE}/crumbIssuer/api/json", BASIC) == (crumb.method, crumb.url, crumb.headers["Authorization"])
    assert (POST.method, POST.url, POST.body) == (second.method, second.url, second.body)
    assert {
        **first.headers,
        "Jenkins-Crumb": "abc123",
        "Cookie": "JSESSIONID.1=node0abc.node0; remember=1",
    } == second.headers


@pytest.mark.parametrize(
    ("answer", "method"),
    [
        (Answer(201), "POST"),
        (Answer(403, {}, b"alice is missing the Job/Build permission"), "POST"),
        (Answer(401, {}, REFUSED.body), "POST"),
        (REFUSED, "GET"),
        (REFUSED, "DELETE"),
    ],
)
def test_whatever_else_is_said_is_the_answer(answer: Answer, method: str) -> None:
    """No crumb is asked for where none was missing: nothing is sent twice for another reason."""
    assert 1 == len(conversation(answer, request=Request(method, POST.url)))


def test_it_is_tried_once_more_and_no_oftener() -> None:
    """A server that is never content is let be."""
    assert 3 == len(conversation(REFUSED, issued(), REFUSED, issued(), REFUSED))


@pytest.mark.parametrize(
    "answer",
    [
        Answer(404),
        Answer(200, {}, b"[]"),
        Answer(200, {}, b"{"),
        issued(crumb=None),
        issued(crumb="a\r\nX-Evil: 1"),
        issued(name="Authorization"),
        issued(name="Cookie"),
        issued(name="X Evil"),
        issued(name=3),
        issued(cookies="JSESSIONID=a\x01b; Path=/"),
    ],
)
def test_an_odd_crumb_writes_no_header(answer: Answer) -> None:
    """It is sent again as it was, so that what counts in the end is an answer to it."""
    *_, last = conversation(REFUSED, answer)

    assert "POST" == last.method
    assert {"Content-Type", "Authorization"} >= last.headers.keys() - {"Jenkins-Crumb"}
    assert BASIC == last.headers["Authorization"]
    assert all("\n" not in value for value in last.headers.values())


def test_it_is_bound_to_one_base() -> None:
    """The crumb is asked for where the instance is, whatever the request's own address."""
    steps = CrumbSigner("https://other.example").sign(POST, Token("a:b"))
    next(steps)

    assert "https://other.example/crumbIssuer/api/json" == steps.send(REFUSED).url
