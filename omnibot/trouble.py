"""The sentence for an answer that is an error.

It says what happened in our own words: of a service's error body nothing is repeated to
anybody (A42).
"""

import binascii
import contextlib
import re
import time
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from email.utils import parsedate_to_datetime

from omnibot.errors import Upstream
from omnibot.provider import Instance
from omnibot.wire import Answer, Request

_LONGEST_WAIT = 86400.0
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
    wait = retry_after(answer)
    if status == 429:
        said = f"{title} asks you to slow down." + (f" Try again in {wait:.0f} seconds." if wait else "")
    elif status >= 500:
        said = f"{title} is out of order (status {status}). Try again in a while."
    elif 300 <= status < 400:
        said = f"{title} sent me elsewhere (status {status}), and I do not follow."
    else:
        said = f"{title} {_REFUSALS.get(status, 'refused that')} (status {status})."
    request_id = answer.headers.get("x-request-id", "")
    if request_id.isascii() and request_id.replace("-", "").isalnum() and len(request_id) <= 64:
        said += f" Its reference: {request_id}."
    return Upstream(said, status=status, retry_after=wait)


def without_echo(answer: Answer, request: Request) -> Answer:
    """Return *answer* without its reference, if that repeats anything that the signed *request* carried (A40)."""
    reference = answer.headers.get("x-request-id")
    if not reference or not any(_repeats(reference, sent) for sent in _carried(request)):
        return answer
    return replace(answer, headers={name: said for name, said in answer.headers.items() if name != "x-request-id"})


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
