"""Whether this machine's clock is right, by what others say the time is.

OAuth 1.0a refuses a timestamp that is minutes off (RFC 5849 section 3.3), SigV4 one of five minutes or more, and a
one-time code is good for half a minute (RFC 6238 section 5.2).
"""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from statistics import median

from omnibot.adapter import Finding

_NOTED = 30.0
_WRONG = 120.0
"""Seconds."""

_MOST_NAMED = 3


def ahead(headers: Mapping[str, str], asked: float, heard: float) -> float | None:
    """Return by how many seconds this machine's clock is ahead of the one that wrote *headers*, names in lower case.

    *asked* and *heard* are Unix seconds by this machine's clock.  None where they do not say, or a cache answered
    (RFC 9110 section 6.6.1, RFC 9111 section 5.1).
    """
    if "age" in headers:
        return None
    try:
        there = parsedate_to_datetime(headers.get("date", "")).timestamp()
    except (ValueError, OverflowError):
        return None
    return (asked + heard) / 2 - (there + 0.5)  # it is told in whole seconds, cut off


def clock_finding(seen: Mapping[str, float]) -> Finding | None:
    """Return what is to be said of a clock that is ahead by as much as *seen*, by whom it is compared with.

    The middle one counts: one service whose own clock is wrong says nothing of ours.  None if nobody was asked.
    """
    if not seen:
        return None
    off = median(seen.values())
    names = ", ".join(sorted(seen)[:_MOST_NAMED]) + (", …" if len(seen) > _MOST_NAMED else "")
    if abs(off) <= _NOTED:
        return Finding("good", f"This machine's clock agrees with that of {names}.")
    what = f"This machine's clock is {abs(off):,.0f} seconds {'ahead of' if off > 0 else 'behind'} that of {names}."
    why = (
        "One-time codes, OAuth 1.0a and AWS go by the clock and refuse what is off; links and tokens end at odd times."
    )
    cure = "Switch on time synchronisation: timedatectl set-ntp true"
    return Finding("wrong" if abs(off) > _WRONG else "note", what, cure, why)
