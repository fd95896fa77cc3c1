"""Takes secrets out of what is about to be logged, whoever wrote it.

It is the last of several walls: nothing of ours logs a token, a link or a code (A40), and libraries
that repeat what they are given are kept quiet.  What comes through all the same is taken out here:
the configuration's own secrets in every form they travel in, and what looks like a ticket, a code,
an answer of a service or a credential.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

GONE = "[redacted]"

_SHORTEST = 6
"""Characters from which on a secret is looked for: shorter ones stand in too many words."""

_FIELDS = (
    "access_token|refresh_token|id_token|token|client_secret|consumer_secret|code_verifier|password|passwd|secret|"
    "api_key|apikey|oauth_token|oauth_token_secret|oauth_verifier|oauth_signature|code|state|ticket|user_code|device_code"
)
_CODE = "[BCDFGHJKLMNPQRSTVWXZ]{4}"

_PATTERNS = (
    (re.compile(r"(/(?:l|code|key|check)/)[A-Za-z0-9_~-]{12,}"), rf"\1{GONE}"),
    (re.compile(rf"(?i)((?:^|[?&;,\s\"'])(?:{_FIELDS})=\\?[\"']?)[^&\s\"'<>\\]+"), rf"\1{GONE}"),
    (re.compile(rf"(?i)(\\?[\"'](?:{_FIELDS})\\?[\"']\s*:\s*\\?[\"'])[^\"'\\]+"), rf"\1{GONE}"),
    (re.compile(r"(?i)\b(bearer|basic)(\s+)(?=[^\s\"']*[^a-z\s\"'])[A-Za-z0-9._~+/=%-]{8,}"), rf"\1\2{GONE}"),
    (re.compile(r"(?i)((?:proxy-)?authorization['\"]?\s*[:=,]\s*['\"]?)(?!\[redacted)[^'\"\r\n]+"), rf"\1{GONE}"),
    (re.compile(r"(?i)((?:set-)?cookie['\"]?\s*[:=,]\s*['\"]?)[^'\"\r\n]+"), rf"\1{GONE}"),
    (re.compile(r"((?:__Host-)?ob-[A-Za-z0-9_-]+=)[A-Za-z0-9_~.%-]+"), rf"\1{GONE}"),
    (re.compile(rf"\b{_CODE}-{_CODE}\b"), GONE),
)


class Redactor:
    """Knows the secrets that must not be seen, and what others look like."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Look for *secrets*, in every form that they are sent in."""
        forms = {form for secret in secrets if len(secret) >= _SHORTEST for form in _forms(secret)}
        longest_first = sorted(forms, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first))) if forms else None

    def __call__(self, text: str) -> str:
        """Return *text* without what must not be seen in it."""
        if self._known is not None:
            text = self._known.sub(GONE, text)
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        return text


def _forms(secret: str) -> Iterator[str]:
    """Give *secret* as it stands in addresses, JSON, a repr and Basic credentials (RFC 7617)."""
    yield secret
    yield quote(secret, safe="")
    yield quote_plus(secret)
    yield json.dumps(secret)[1:-1]
    yield repr(secret)[1:-1]
    yield from _within_base64(secret.encode())


def _within_base64(data: bytes) -> Iterator[str]:
    """Give what base64 makes of *data* wherever in a longer text it stands: of each alignment the inner part."""
    for before in range(3):
        whole = base64.b64encode(bytes(before) + data).decode()
        begin = (before * 8 + 5) // 6
        inner = whole[begin : (before + len(data)) * 8 // 6]
        if len(inner) >= _SHORTEST + 2:
            yield inner
            yield inner.translate(str.maketrans("+/", "-_"))
