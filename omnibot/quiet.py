"""Quiet hours: when a person is told nothing of what is followed for them, and nothing of it is looked at.

One stretch of every day, by the clock on the person's own wall.  A time that a day does not have, or has
twice, because clocks are put forward or back, is read as calendars do (RFC 5545, section 3.3.5): by the
offset before the gap, and as the first of the two.

Rows are tagged, and belong to a person; one that is not as we wrote it counts for nothing.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from omnibot.database import Database, Transaction
from omnibot.errors import UserError, VaultError
from omnibot.markup import code as code_span
from omnibot.vault import Sealer, Tagged

log = logging.getLogger(__name__)

TABLE = Tagged("quiet", ("person",), ("begins", "ends", "zone"))

_CACHED = 20_000
_DAY = timedelta(days=1)
_SPAN = re.compile(r"(\d{1,2})(?::(\d{2}))?\s*[-\N{EN DASH}]\s*(\d{1,2})(?::(\d{2}))?")
_ZONE = re.compile(r"[A-Za-z0-9_+-]{1,32}(/[A-Za-z0-9_+-]{1,32}){0,3}")


@dataclass(frozen=True, slots=True)
class Quiet:
    """From when to when it is quiet, each day."""

    begins: int
    ends: int
    """Minutes since midnight, 0 to 1439; where it ends before it begins, it goes over midnight."""

    zone: str = "UTC"
    """Name in the time zone database: ``Europe/Berlin``."""

    def __str__(self) -> str:
        """Return the hours as people write them: ``22:00-07:00``."""
        return f"{_clock(self.begins)}-{_clock(self.ends)}"

    def end(self, moment: float) -> float | None:
        """Return when the quiet hours end in which *moment* lies, both in Unix seconds; None if it lies in none.

        Raises:
            LookupError: the system does not know the zone (any more).
        """
        zone = _known_zone(self.zone)
        today = datetime.fromtimestamp(moment, zone).date()
        for day in (today - _DAY, today):
            begins = _moment(day, self.begins, zone)
            ends = _moment(day + _DAY * (self.ends <= self.begins), self.ends, zone)
            if begins <= moment < ends:
                return ends
        return None

    def shown(self, moment: float) -> str:
        """Return what the clock shows at *moment*: ``07:00``."""
        return f"{datetime.fromtimestamp(moment, _known_zone(self.zone)):%H:%M}"


def parsed(hours: str, zone: str = "") -> Quiet:
    """Return what somebody said: ``22:00-07:00``, ``22-7``, and a zone; none is UTC.

    Raises:
        UserError: it says no hours, or a zone that is not known here.
    """
    found = _SPAN.fullmatch(hours.strip())
    if found is None:
        raise UserError(f"I do not read hours in {code_span(hours)}. Say from when to when: `22:00-07:00`.")
    begins, ends = _minutes(found[1], found[2]), _minutes(found[3], found[4])
    if begins == ends:
        raise UserError("That begins and ends at the same time. Say from when to when: `22:00-07:00`.")
    return Quiet(begins, ends, _named(zone.strip()))


def _minutes(hour: str, minute: str | None) -> int:
    """Return the minutes since midnight; 24:00 is the midnight at a day's end.

    Raises:
        UserError: no clock shows that.
    """
    minutes = int(hour) * 60 + int(minute or 0)
    if int(minute or 0) > 59 or minutes > 24 * 60:
        said = f"{hour}:{minute}" if minute else hour
        raise UserError(f"No clock shows {code_span(said)}. Hours go from `00:00` to `24:00`.")
    return minutes % (24 * 60)


def _named(zone: str) -> str:
    """Return the name of *zone* as the database has it: small letters are forgiven where that is simple.

    Raises:
        UserError: there is none, or the system has no database of time zones.
    """
    for name in dict.fromkeys((zone or "UTC", zone.upper(), zone.title())):
        try:
            _known_zone(name)
        except LookupError:
            continue
        return name
    if not available_timezones():  # it looks through many files, and is asked only now
        raise UserError(
            "This system has no time zone database, so I know UTC alone: leave the zone out and give the hours in UTC, "
            "or ask the operator of this bot to install the package `tzdata`."
        )
    raise UserError(f"I know no time zone {code_span(zone)}. Name one as `Europe/Berlin`, `America/New_York` or `UTC`.")


@lru_cache(maxsize=600)
def _known_zone(name: str) -> tzinfo:
    """Return the zone *name*; UTC needs no database.

    Raises:
        LookupError: there is none.
    """
    if name == "UTC":
        return UTC
    if not _ZONE.fullmatch(name):
        raise LookupError("not a time zone's name")
    try:
        return ZoneInfo(name)
    except (ValueError, OSError) as error:  # a folder of zones, a file that is none
        raise LookupError(f"no time zone {name}") from error


def _moment(day: date, minutes: int, zone: tzinfo) -> float:
    return datetime.combine(day, time(*divmod(minutes, 60)), zone).timestamp()


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


class QuietHours:
    """The quiet hours of everybody who has some."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        """Keep them in *database*, tagged by *sealer*."""
        self._database = database
        self._sealer = sealer
        self._cache: dict[str, Quiet | None] = {}
        self._changes = 0
        database.watch(self._changed)

    async def of(self, person: str) -> Quiet | None:
        """Return the quiet hours of *person*, if there are any."""
        if person in self._cache:
            return self._cache[person]
        before = self._changes
        rows = await self._database.rows("SELECT * FROM quiet WHERE person = ?", (person,))
        found = self._read(rows[0]) if rows else None
        if before == self._changes:  # what a write has overtaken must not be remembered
            if len(self._cache) >= _CACHED:
                self._cache.clear()
            self._cache[person] = found
        return found

    async def end(self, person: str, moment: float) -> float | None:
        """Return when the quiet hours of *person* end in which *moment* lies; None if it lies in none."""
        quiet = await self.of(person)
        try:
            return quiet.end(moment) if quiet is not None else None
        except LookupError:
            log.warning("somebody's quiet hours do not count: the system does not know their time zone any more")
            return None

    async def choose(self, tx: Transaction, person: str, quiet: Quiet | None) -> bool:
        """Let *quiet* be the quiet hours of *person*, None: none, inside *tx*; return whether there were some.

        Raises:
            KeyMissing: nothing can be stored.
        """
        before = await tx.execute("DELETE FROM quiet WHERE person = ?", (person,))
        if quiet is not None:
            await tx.insert("quiet", self._sealer.stamp(TABLE, _to_row(person, quiet)))
        tx.touch(person)
        return before > 0

    async def hand_over(self, tx: Transaction, person: str, heir: str) -> None:
        """Give *heir* the quiet hours that *person* has, inside *tx*, unless they have some; *person* keeps them.

        Raises:
            KeyMissing, Tampered: the row is not as we wrote it.
        """
        for row in await tx.rows("SELECT * FROM quiet WHERE person = ?", (person,)):
            self._sealer.check(TABLE, row)
            if not await tx.rows("SELECT 1 FROM quiet WHERE person = ?", (heir,)):
                await tx.insert("quiet", self._sealer.stamp(TABLE, {**row, "person": heir}))
            tx.touch(heir)

    def _read(self, row: Mapping[str, Any]) -> Quiet | None:
        try:
            self._sealer.check(TABLE, row)
        except VaultError as error:
            log.error("somebody's quiet hours do not count: %s", error)
            return None
        return Quiet(row["begins"], row["ends"], row["zone"])

    def _changed(self, person: str) -> None:
        self._changes += 1
        self._cache.pop(person, None)


def _to_row(person: str, quiet: Quiet) -> dict[str, object]:
    return {"person": person, "begins": quiet.begins, "ends": quiet.ends, "zone": quiet.zone}
