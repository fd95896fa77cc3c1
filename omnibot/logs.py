"""How the bot's own log looks: one line an event, for people or for machines, on standard error."""

import json
import logging
import sys
from typing import Literal, TextIO

_QUIET = ("aiosqlite", "asyncio", "markdown_it", "authlib")
"""Libraries whose debug lines would repeat what they were given."""


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, text, and the traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return *record* as JSON."""
        said: dict[str, object] = {
            "at": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "text": record.getMessage(),
        }
        if record.exc_info:
            said["trace"] = self.formatException(record.exc_info)
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


def set_up(level: str = "info", style: Literal["pretty", "json"] = "pretty") -> None:
    """Log to standard error from *level* on, in *style*."""
    handler = StandardError()
    pretty = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")
    handler.setFormatter(JsonFormatter() if style == "json" else pretty)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
