"""Asking whether something has changed since it was last looked at: conditional requests (RFC 9110, section 13).

A service names each state of a resource by a *validator*, an entity tag or a date; sent along
with the next request, it lets the service say "not modified" and nothing else.

Invariant: a validator goes to the very address that it came from, with the account that it came
with, for the one follow whose look got it; and of an answer's body nothing is kept.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from omnibot.api import Api, Response

_MOST = 16
"""Addresses that one follow has validators of."""

_LONGEST_ADDRESS = 1000
_TAG = re.compile(r"[!-~]{1,512}")
_DATE = re.compile(r"[A-Za-z0-9,: +-]{1,64}")

_NOT_MODIFIED = 304


class LastLook:
    """The validators that the last look of one follow left; in memory, as long as the follow is watched.

    What a look got counts only once it is `kept`: a look that found news and could not tell them is made
    again as if it had not been, or the service would say that nothing has changed since.
    """

    def __init__(self) -> None:
        """Know nothing."""
        self._account = ""
        self._kept: dict[str, dict[str, str]] = {}
        self._fresh: dict[str, dict[str, str]] = {}

    def begin(self, account: str) -> None:
        """Begin a look with the account of that id; what another account got is forgotten."""
        if account != self._account:
            self._account, self._kept = account, {}
        self._fresh = {}

    def keep(self) -> None:
        """Take what the look got for what is known: all that it found is told."""
        for address, validators in self._fresh.items():
            self._kept.pop(address, None)  # to stand last, as the newest
            if validators:
                self._kept[address] = validators
        self._fresh = {}
        while len(self._kept) > _MOST:
            del self._kept[next(iter(self._kept))]

    async def changed(self, api: Api, path: str, params: Mapping[str, object]) -> Any | None:
        """GET *path*; return what it says, or None if it says the same as at the last look.

        Raises:
            Upstream, NotLinked: as `Api.get`.
        """
        address = _address(path, params)
        known = self._kept.get(address, {})
        expect = (_NOT_MODIFIED,) if known else ()
        answer = await api.send("GET", path, params=params, headers=known, expect=expect)
        if answer.status == _NOT_MODIFIED:
            return None
        if len(address) <= _LONGEST_ADDRESS:
            self._fresh[address] = _validators(answer)
        return answer.data


def _address(path: str, params: Mapping[str, object]) -> str:
    said = {name: value for name, value in params.items() if value is not None}
    return f"{path}?{urlencode(said, doseq=True)}"


def _validators(answer: Response) -> dict[str, str]:
    """Return the headers to ask with next time; none if the service gave no validator that can be sent."""
    tag, date = answer.headers.get("etag", ""), answer.headers.get("last-modified", "")
    found = {"If-None-Match": tag} if _TAG.fullmatch(tag) else {}
    return found | ({"If-Modified-Since": date} if _DATE.fullmatch(date) else {})
