"""What the adapter's libraries would write into the log."""

import logging

import pytest

from adapters.matrix import Adapter


@pytest.mark.parametrize("library", ["nio", "nio.responses", "nio.crypto.log", "peewee"])
def test_its_libraries_say_nothing_in_the_log(library: str) -> None:
    """They repeat what they were given, which may be a token or what somebody said (A40)."""
    assert Adapter.__module__.startswith("adapters.matrix.")  # importing it is what does it
    assert not logging.getLogger(library).isEnabledFor(logging.ERROR)
