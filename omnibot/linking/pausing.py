"""Whether new links may begin: an operator can pause that, and say why.

It is a file in the data directory, so that it survives a restart, and can be seen and taken away
by hand.  What has begun may end; who asks for a link is told that it is paused, and why.
"""

import contextlib
from pathlib import Path

from omnibot.errors import UserError
from omnibot.markup import escape, printable

NAME = "linking-paused"
_LONGEST = 500


class Pause:
    """The pause of linking, if there is one."""

    def __init__(self, path: Path) -> None:
        """Look whether there is one at *path*; one that cannot be read counts, for it was meant."""
        self._path = path
        self._why: str | None = None
        try:
            self._why = path.read_text("utf-8")[:_LONGEST].strip()
        except FileNotFoundError:
            pass
        except (OSError, ValueError):
            self._why = ""

    @property
    def why(self) -> str | None:
        """Why linking is paused, as an operator said it, maybe empty; None: it is not."""
        return self._why

    def begin(self, why: str = "") -> None:
        """Pause linking; *why* is told to whoever asks for a link.

        Raises:
            UserError: it is too long, or cannot be kept.
        """
        said = printable(" ".join(why.split()))
        if len(said) > _LONGEST:
            raise UserError(f"Say why in {_LONGEST} characters at most.")
        try:
            self._path.write_text(f"{said}\n", "utf-8")
        except OSError as error:
            raise UserError(f"{self._path} cannot be written ({error.strerror}). Nothing has changed.") from None
        self._why = said

    def end(self) -> None:
        """Let links begin again.

        Raises:
            UserError: the file cannot be removed.
        """
        try:
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()
        except OSError as error:
            raise UserError(f"{self._path} cannot be removed ({error.strerror}). Nothing has changed.") from None
        self._why = None

    def check(self) -> None:
        """Refuse a new link while it is paused.

        Raises:
            UserError: it is.
        """
        if self._why is not None:
            why = f": {escape(self._why)}" if self._why else "."
            raise UserError(f"This bot's operator lets nothing new be linked just now{why}")
