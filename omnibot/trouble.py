"""The sentence for an answer that is an error.

It says what happened in our own words: of a service's error body nothing is repeated to
anybody (A42).
"""

import binascii
import contextlib
import re
import time
from base64 import b64decode
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from omnibot.errors import Upstream
from omnibot.provider import Instance
from omnibot.wire import Answer, Request

_LONGEST_WAIT = 86400.0
_LIMITS = ("x-ratelimit-", "x-rate-limit-", "ratelimit-")
"""How the headers of a limit begin that go on with ``remaining`` and ``reset``."""

_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?")
_FIRST_EPOCH = 1e9
"""A greater number is a time, in Unix seconds; a smaller one is how long it is until then."""

_REFERENCES = ("x-request-id", "x-github-request-id", "x-amzn-requestid", "x-amz-request-id")
"""Headers by which services name a request."""

_LONGEST_REFERENCE = 64

_LONG_WORD = re.compile(r"[A-Za-z0-9-]{8,}")

_REFUSALS = {
    400: "did not understand that",
    403: "does not allow you that",
    404: "does not know that, or does not show it to you",
    409: "says that it conflicts with something there",
    422: "did not accept that",
}


def trouble(instance: Instance, answer: Answer) -> Upstream:
    """Return the sentence for an *answer* of *instance* that is an error; nothing of its body is in it."""
    title, status = instance.title, answer.status
    told = retry_after(answer)
    wait = told or limit_spent(answer) or told  # 0 is a word as well; None, that there is none
    if status == 429 or (status == 403 and wait):
        said = f"{title} asks you to slow down." + (f" Try again in {wait:.0f} seconds." if wait else "")
    elif status >= 500:
        said = f"{title} is out of order (status {status}). Try again in a while."
    elif 300 <= status < 400:
        said = f"{title} sent me elsewhere (status {status}), and I do not follow."
    else:
        said = f"{title} {_REFUSALS.get(status, 'refused that')} (status {status})."
    if request_id := reference(answer, _REFERENCES[:1]):
        said += f" Its reference: {request_id}."
    return Upstream(said, status=status, retry_after=wait)


def reference(answer: Answer, names: Iterable[str] = _REFERENCES) -> str:
    """Return how the service calls the request of *answer*: letters, digits, dashes and colons; else empty."""
    for name in names:
        said = answer.headers.get(name, "")
        if said.isascii() and said.replace("-", "").replace(":", "").isalnum() and len(said) <= _LONGEST_REFERENCE:
            return said
    return ""


def without_echo(answer: Answer, request: Request) -> Answer:
    """Return *answer* without a reference that repeats anything that the signed *request* carried (A40)."""
    told = {name: answer.headers[name] for name in _REFERENCES if name in answer.headers}
    if not told:
        return answer
    carried = [*_carried(request)]
    echoes = {name for name, said in told.items() if any(_repeats(said, sent) for sent in carried)}
    return replace(answer, headers={name: said for name, said in answer.headers.items() if name not in echoes})


def _repeats(reference: str, sent: str) -> bool:
    return reference in sent or any(word in reference for word in _LONG_WORD.findall(sent))


def _carried(request: Request) -> Iterator[str]:
    yield request.body.decode("latin-1")
    for value in request.headers.values():
        yield value
        with contextlib.suppress(binascii.Error):  # as the signer `basic` writes user and key
            yield b64decode(value.removeprefix("Basic "), validate=True).decode("latin-1")


def retry_after(answer: Answer) -> float | None:
    """Return the seconds that *answer* asks us to wait, a day at most; None if it does not say (RFC 9110, 10.2.3)."""
    text = answer.headers.get("retry-after", "")
    if text.isascii() and text.isdigit():
        return min(float(text), _LONGEST_WAIT)
    try:
        seconds = parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), _LONGEST_WAIT)


def limit_spent(answer: Answer) -> float:
    """Return the seconds until requests are taken again, a day at most, where *answer* was the last for now; else 0.

    Services say so in headers of several names, and the time in Unix seconds, in seconds or as ISO 8601.
    """
    for name in _LIMITS:
        left = answer.headers.get(f"{name}remaining", "")
        if _NUMBER.fullmatch(left) and float(left) == 0:
            return min(max(_seconds_until(answer.headers.get(f"{name}reset", "")), 0.0), _LONGEST_WAIT)
    return 0.0


def poll_interval(answer: Answer) -> float:
    """Return the seconds to let pass at least, a day at most, before the same is asked again; 0: it does not say."""
    text = answer.headers.get("x-poll-interval", "")
    return min(float(text), _LONGEST_WAIT) if text.isascii() and text.isdigit() else 0.0


def _seconds_until(text: str) -> float:
    """Return the seconds until the time that *text* names, which may be over; 0 if it names none."""
    if _NUMBER.fullmatch(text):
        return float(text) - time.time() if float(text) > _FIRST_EPOCH else float(text)
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - time.time()
    except (ValueError, OverflowError):
        return 0.0
