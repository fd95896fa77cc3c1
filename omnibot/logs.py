"""How the bot's own log looks: one line an event, for people or for machines, on standard error.

Whatever is written, be it by a library, goes through a `Redactor` first.
"""

import asyncio
import json
import logging
import sys
from collections.abc import Iterable
from typing import Literal, TextIO

from omnibot.redaction import Redactor

_QUIET = ("asyncio", "markdown_it", "authlib")
"""Libraries whose debug lines would repeat what they were given."""


class PrettyFormatter(logging.Formatter):
    """One line for people, with the traceback below it where there is one."""

    def __init__(self, redact: Redactor) -> None:
        """Take out what *redact* takes out."""
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """Return *record* as text."""
        return self._redact(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, text, the task, and traceback and stack where there are any."""

    def __init__(self, redact: Redactor) -> None:
        """Take out what *redact* takes out."""
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """Return *record* as JSON."""
        said: dict[str, object] = {
            "at": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "text": self._redact(record.getMessage()),
        }
        if task := _task():
            said["task"] = self._redact(task)
        if record.exc_info:
            said["trace"] = self._redact(self.formatException(record.exc_info))
        if record.stack_info:
            said["stack"] = self._redact(self.formatStack(record.stack_info))
        return json.dumps(said, ensure_ascii=False)


class StandardError(logging.StreamHandler[TextIO]):
    """Writes to whatever standard error is at the time: a console's prompt puts itself in between."""

    def __init__(self) -> None:
        """Write to no stream of its own."""
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]  # found anew for each line
        """Standard error, as it is now."""
        return sys.stderr


def set_up(level: str = "info", style: Literal["pretty", "json"] = "pretty", secrets: Iterable[str] = ()) -> None:
    """Log to standard error from *level* on, in *style*, and none of *secrets*."""
    redact, handler = Redactor(secrets), StandardError()
    handler.setFormatter(JsonFormatter(redact) if style == "json" else PrettyFormatter(redact))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _task() -> str:
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no loop runs here
        return ""
    return task.get_name() if task is not None else ""
