"""A40, secrets where the bot is watched: its log as it is written, `/metrics`, and the terminal of `omnibot init`.

What must hold: with every logger at its most talkative level, the libraries' as well that are quiet otherwise, and
asyncio in debug mode, no token, code, ticket, key or secret of the configuration stands in what is written, be it for
people or as JSON; nor on the page of metrics.  Of what is typed unseen the wizard says nothing, whatever becomes of it.

What remains: a token whose form nobody knows, in a line that does not say that it is one.  No line of ours has any
(see `test_a40_secrets_in_the_open.py`, where nothing is taken out).
"""

import asyncio
import io
import logging
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Literal

import pytest

from attacks.canaries import Echoing, found
from attacks.test_a40_operating import lived_in
from omnibot.errors import ConfigError, Problem
from omnibot.logs import set_up
from omnibot.metrics import Metrics
from omnibot.redaction import GONE, Redactor
from omnibot.testing.bench import Bench
from omnibot.wizard import Talk, services, write
from test_wizard import END, NO_NETWORK, NO_URL, Person, Unseen

CONFIGURED = "hunter2-of-the-operator"


@pytest.fixture
async def provider() -> AsyncIterator[Echoing]:
    """A service that repeats what it was sent."""
    async with Echoing() as provider:
        yield provider


@pytest.fixture
def talkative() -> Iterator[None]:
    """What a logger is set to is the whole process's: it is put back."""
    handlers, level = logging.root.handlers[:], logging.root.level
    levels = {name: logging.getLogger(name).level for name in list(logging.root.manager.loggerDict)}
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    for name in list(logging.root.manager.loggerDict):
        logging.getLogger(name).setLevel(levels.get(name, logging.NOTSET))


def say_everything(style: Literal["pretty", "json"]) -> None:
    """Log as `omnibot run` does, and let no library be quiet."""
    set_up("debug", style, [CONFIGURED])
    for name in list(logging.root.manager.loggerDict):
        logging.getLogger(name).setLevel(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)


def as_it_comes(patch: pytest.MonkeyPatch) -> None:
    """Take nothing out of the log."""
    patch.setattr(Redactor, "__call__", lambda _, text: text)


@pytest.mark.attack("A40", sabotage=as_it_comes)
@pytest.mark.parametrize("style", ["pretty", "json"])
@pytest.mark.usefixtures("talkative")
async def test_the_log_as_it_is_written_shows_none(
    style: Literal["pretty", "json"], bench: Bench, provider: Echoing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a library repeats what it is given, and where somebody logs a request as it is."""
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    say_everything(style)
    secrets = await lived_in(bench, provider)
    one = next(one for one in secrets if len(one) == 40)
    logging.getLogger("some.library").debug("sent %r", {"Authorization": f"Bearer {one}"})
    logging.getLogger("some.library").warning("answered: %s", f'{{"access_token": "{one}"}}')
    logging.getLogger("some.library").warning("logged in with %s", CONFIGURED)
    written = stderr.getvalue()

    assert [] == found({*secrets, CONFIGURED}, written)
    assert 3 <= written.count(GONE)


@pytest.mark.attack("A40")
async def test_the_page_of_metrics_shows_none(bench: Bench, provider: Echoing) -> None:
    """It shows nothing that came from outside."""
    secrets = await lived_in(bench, provider)
    page = (await Metrics(bench.core).text()).decode()

    assert 'omnibot_requests_total{service="demo' in page
    assert [] == found(secrets, page)


def typed_openly(patch: pytest.MonkeyPatch) -> None:
    """Ask for what is secret as for anything else."""
    patch.setattr(Talk, "ask_secret", lambda self, prompt, kept="": self.ask(prompt, kept))


@pytest.mark.attack("A40", sabotage=typed_openly)
@pytest.mark.parametrize("mistaken", [False, True])
def test_what_is_typed_unseen_is_not_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistaken: bool) -> None:
    """Neither where all is well, nor where the service cannot be had like that and is left out."""
    secret = f"{CONFIGURED} \\ \" ' #{{"
    turns = [
        NO_URL,
        NO_NETWORK,
        ("Service (", "github"),
        ("Client id", "x"),
        ("Client secret", Unseen(secret)),
        *([("What now", "l")] if mistaken else []),
        *END,
    ]
    if mistaken:
        monkeypatch.setattr(services, "found_in", refused)
    person = Person(*turns)
    status = write(tmp_path / "config.yaml", yes=False, public_url="", talk=person.talk)

    assert 0 == status
    assert person.has_said_all
    assert CONFIGURED not in person.text()
    assert CONFIGURED not in (tmp_path / "config.yaml").read_text("utf-8")


def refused(draft: object) -> None:
    """Find something wrong with whatever is drafted, and quote it."""
    raise ConfigError(Problem("config.yaml", "providers", f"no good: {draft!r}", "Leave it out."))
