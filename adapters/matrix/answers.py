"""What a homeserver answers, as values and errors of ours.

nio returns its errors, and waits out every limit by itself; here an error is raised, and who called
decides how long to wait.  Errors are those of the client-server API, "Standard error response".
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from nio.client.async_client import AsyncClient
from nio.responses import ErrorResponse

from omnibot.errors import Refused
from omnibot.markup import printable

_FINAL = {
    "M_UNKNOWN_TOKEN": "the homeserver no longer accepts the bot's login",
    "M_MISSING_TOKEN": "the homeserver no longer accepts the bot's login",
    "M_USER_DEACTIVATED": "the bot's account is deactivated",
    "M_USER_LOCKED": "the bot's account is locked",
    "M_USER_SUSPENDED": "the bot's account is suspended",
}
ANEW = (
    "If it was logged out on purpose, give the network another `device_name` (and, with `token`, a new token): "
    "the bot begins anew there, as another device."
)

_LONGEST_LIMIT = 60.0
_LONGEST_ANSWER = 16 * 2**20


class MatrixError(ConnectionError):
    """The homeserver did not do what it was asked."""

    def __init__(self, code: str, why: str = "", status: int = 0) -> None:
        """*code* is its ``errcode``, if it gave one; *why* its words."""
        super().__init__(f"{code or status or 'no answer'} {printable(why)[:200]}".strip())
        self.code = code
        self.status = status
        self.said: Mapping[str, Any] = {}
        """The whole answer: one of 401 may be no refusal, but a demand for more."""


class Limited(MatrixError):
    """It has been asked too often, and says after how many seconds to come back: *seconds*, at most a minute."""

    def __init__(self, seconds: float) -> None:
        """Come back after so many *seconds*."""
        super().__init__("M_LIMIT_EXCEEDED")
        self.seconds = min(max(seconds, 0.1), _LONGEST_LIMIT)


class LoggedOut(MatrixError):
    """The login has run out; the device is still there, and may log in again (client-server API, "Soft logout")."""

    def __init__(self) -> None:
        """Log in again, as the same device."""
        super().__init__("M_UNKNOWN_TOKEN")


def error_of(code: str, why: str, status: int, retry_after: float | None, *, soft: bool = False) -> Exception:
    """Return what an error answer means.

    It is `Refused` where the bot is turned away for good, `LoggedOut` where that is not for good (*soft*),
    `Limited`, or else a `MatrixError`.
    """
    if code == "M_UNKNOWN_TOKEN" and soft:
        return LoggedOut()
    if code in _FINAL:
        return Refused(_FINAL[code], cure=ANEW)
    if code == "M_LIMIT_EXCEEDED" or status == 429:
        return Limited(retry_after if retry_after is not None else 5.0)
    return MatrixError(code, why, status)


def good[T](answer: T | ErrorResponse) -> T:
    """Return *answer* of nio's, unless it is an error.

    Raises:
        Refused: the bot is turned away for good.
        MatrixError: anything else; `Limited` if it was too often.
    """
    if not isinstance(answer, ErrorResponse):
        return answer
    status = getattr(answer.transport_response, "status", 0)
    pause = answer.retry_after_ms / 1000 if answer.retry_after_ms else None
    raise error_of(str(answer.status_code or ""), answer.message, status, pause, soft=answer.soft_logout)


def path(*parts: str, **query: Sequence[str]) -> str:
    """Return the path of an endpoint of the client-server API: each of *parts* is one segment, however it looks."""
    found = "/_matrix/client/v3/" + "/".join(quote(part, safe="", errors="replace") for part in parts)
    return f"{found}?{urlencode(query, doseq=True)}" if query else found


async def call(client: AsyncClient, method: str, where: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Ask the homeserver at `path` *where*; return what it answers, an object.

    Raises:
        Refused, MatrixError, OSError, TimeoutError: as `ask`.
    """
    said = await ask(client, method, where, body)
    return said if isinstance(said, dict) else {}


async def ask(client: AsyncClient, method: str, where: str, body: Mapping[str, Any] | None = None) -> Any:
    """Ask the homeserver at `path` *where*; return what it answers, as JSON; None where that is no JSON.

    Raises:
        Refused, MatrixError, OSError, TimeoutError: as `give`.
    """
    return await give(client, method, where, None if body is None else json.dumps(body).encode())


async def give(client: AsyncClient, method: str, where: str, data: bytes | None, kind: str = "application/json") -> Any:
    """Give *data* of a media type to the homeserver; return what it answers, as `ask`.

    Raises:
        Refused, MatrixError: as `good`.
        OSError, TimeoutError: it did not answer.
    """
    headers = {"Authorization": f"Bearer {client.access_token}"} if client.access_token else {}
    try:
        answer = await client.send(method, where, data, headers | {"Content-Type": kind})
        async with answer:
            text = await _read(answer)
    except aiohttp.ClientError as error:
        raise MatrixError("", type(error).__name__) from None  # its words may repeat what was sent
    said = _parsed(text)
    if answer.status >= 400:
        said = said if isinstance(said, dict) else {}
        pause = said.get("retry_after_ms")
        seconds = pause / 1000 if isinstance(pause, int | float) else None
        code, why, soft = str(said.get("errcode", "")), str(said.get("error", "")), said.get("soft_logout") is True
        meant = error_of(code, why, answer.status, seconds, soft=soft)
        if isinstance(meant, MatrixError):
            meant.said = said
        raise meant
    return said


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    data = bytearray()
    async for chunk in answer.content.iter_chunked(65_536):
        data += chunk
        if len(data) > _LONGEST_ANSWER:
            raise MatrixError("", "the answer is too long", answer.status)
    return bytes(data)


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
