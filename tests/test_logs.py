"""The bot's own log is one line an event, for people or for machines."""

import json
import logging
from collections.abc import Iterator

import pytest

from omnibot.logs import set_up

log = logging.getLogger("omnibot.test")


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """What is changed here is the whole process's: it is put back."""
    loggers = [logging.getLogger(name) for name in ("", "asyncio", "markdown_it", "authlib")]
    before = [(one, one.level) for one in loggers]
    handlers = logging.root.handlers[:]
    yield
    logging.root.handlers[:] = handlers
    for one, level in before:
        one.setLevel(level)


def test_people_read_time_level_and_where(capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error, from the level that was asked for."""
    set_up("info")
    log.info("heard %s", "this")
    log.debug("and not that")
    said = capsys.readouterr()

    assert "" == said.out
    assert said.err[8:] == " INFO    omnibot.test: heard this\n"


def test_machines_read_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """With the traceback in it where there is one, and every letter as it is."""
    set_up("debug", "json")
    log.debug("grüße %s", "alle")
    try:
        raise ValueError("broken")
    except ValueError:
        log.exception("it went wrong")
    plain, traced = map(json.loads, capsys.readouterr().err.splitlines())

    assert {"level": "debug", "logger": "omnibot.test", "text": "grüße alle"} == {
        key: value for key, value in plain.items() if key != "at"
    }
    assert ("error", "it went wrong") == (traced["level"], traced["text"])
    assert traced["trace"].endswith("ValueError: broken")
    assert isinstance(plain["at"], float)


@pytest.mark.parametrize("name", ["asyncio", "markdown_it", "authlib"])
def test_talkative_libraries_are_kept_quiet(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Their debug lines would repeat what they were given, which may be secret."""
    set_up("debug")
    logging.getLogger(name).debug("executing INSERT of a secret")
    logging.getLogger(name).warning("a warning")

    assert ["a warning"] == [line.rpartition(": ")[2] for line in capsys.readouterr().err.splitlines()]
