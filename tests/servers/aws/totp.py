"""Codes of an authenticator (RFC 6238, with the numbers that everybody uses: SHA-1, 30 seconds, six digits)."""

import base64
import hmac

STEP = 30.0


def step_of(now: float) -> int:
    """Return the number of the half minute that *now*, in Unix seconds, is in."""
    return int(now // STEP)


def code_of(seed: str, step: int) -> str:
    """Return the code of *seed*, in base 32, in that *step* (RFC 4226 section 5.3)."""
    digest = hmac.digest(base64.b32decode(seed), step.to_bytes(8, "big"), "sha1")
    at = digest[-1] & 0x0F
    number = int.from_bytes(digest[at : at + 4], "big") & 0x7FFF_FFFF
    return f"{number % 1_000_000:06}"
