"""What a benchmark gives back, and how time is taken."""

import gc
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing, measured several times."""

    name: str
    unit: str
    values: tuple[float, ...]
    """One for each repetition."""

    floors: tuple[float, ...] = ()
    """What the floor took in the same repetitions; empty where there is none."""

    floor: str = ""
    """What the floor is."""

    aim: float | None = None
    """The most it should be."""

    note: str = ""

    @property
    def median(self) -> float:
        """The figure itself."""
        return median(self.values)

    @property
    def ratio(self) -> float:
        """How often the floor goes into it: the median of each repetition's own ratio."""
        return median(value / floor for value, floor in zip(self.values, self.floors, strict=True))

    def __str__(self) -> str:
        """Return the line that is printed."""
        line = f"{self.name:34} {_digits(self.median):>6} {self.unit:2} {f'({self._range})':>15}"
        if self.floors:
            line += f"  {_digits(self.ratio):>4} x {self.floor} ({_digits(median(self.floors))} {self.unit})"
        if self.aim is not None:
            line += f"  aim {self.aim:g}: {'met' if self.median <= self.aim else 'MISSED'}"
        return line + (f"  {self.note}" if self.note else "")

    @property
    def _range(self) -> str:
        return f"{_digits(min(self.values))} to {_digits(max(self.values))}"


def _digits(value: float) -> str:
    """Return *value* to about three digits."""
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


async def cpu(work: Awaitable[object], times: int) -> float:
    """Return the microseconds of this process's CPU, in all threads, for each of the *times* that *work* does it."""
    gc.collect()
    start = time.process_time()
    await work
    return (time.process_time() - start) / times * 1e6


def each(call: Callable[[], object], times: int) -> float:
    """Return the microseconds of CPU that one of so many calls takes."""
    gc.collect()
    start = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - start) / times * 1e6
