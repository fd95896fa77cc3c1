"""How much the fuzzers make up: 40,000 inputs in all, and a million by ``make fuzz``."""

import os

INPUTS = int(os.environ.get("FUZZ_INPUTS", "40000"))


def share(percent: float) -> int:
    """Return how many inputs so many of a hundred are."""
    return max(int(INPUTS * percent / 100), 20)
