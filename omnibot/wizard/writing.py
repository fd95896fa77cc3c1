"""Writing what the wizard made, all of it or nothing: secrets first, the key, and the configuration last of all."""

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from omnibot.config import Settings, load
from omnibot.errors import ConfigError, Problem
from omnibot.provider import Secret
from omnibot.vault import new_key_file
from omnibot.wizard.draft import Draft, rendered

SECRETS = "secrets"
"""The folder beside the configuration that secrets are put into, a file each."""


class _Made:
    """Files and folders that this run has made; taken away again if it does not come to its end."""

    def __init__(self) -> None:
        self._paths: list[Path] = []

    def folder(self, path: Path) -> None:
        """Make *path* and what it lies in, mode 0700, where they are not there yet."""
        if not path.exists():
            self.folder(path.parent)
            path.mkdir(mode=0o700)
            self._paths.append(path)

    def file(self, path: Path, text: str, mode: int) -> None:
        """Write *text* to *path*, which must not exist, durably; it is never open to others than *mode* says."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        self._paths.append(path)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())

    def key(self, path: Path) -> None:
        """Make a key file, unless there is one: it may be the only way to what the database holds."""
        if not path.exists():
            self.folder(path.parent)
            new_key_file(path)
            self._paths.append(path)

    def undo(self) -> None:
        """Take away what was made, the last first."""
        for path in reversed(self._paths):
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink(missing_ok=True)
        self._paths.clear()


def see_that_it_can_be(path: Path) -> None:
    """Return if a configuration can be written at *path*: before anybody answers questions for nothing.

    Raises:
        ConfigError: it cannot.
    """
    with _told(path):
        if not path.parent.is_dir():
            next(path.parent.iterdir(), None)  # for its error
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise PermissionError(13, os.strerror(13), str(path.parent))


@dataclass(frozen=True, slots=True)
class Written:
    """What was written."""

    settings: Settings
    """The configuration, as the bot has it."""

    secrets: tuple[Path, ...]
    unit: Path | None


def publish(path: Path, draft: Draft, unit: Callable[[Settings], tuple[Path, str]] | None = None) -> Written:
    """Write *draft* at *path*, with a key, its secrets and, by the function *unit*, one more file; return what it made.

    Whatever happens on the way, nothing is left of it.

    Raises:
        ConfigError: it cannot be written.
    """
    made, secrets = _Made(), list[Path]()
    temporary = path.with_name(f".{path.name}.{os.getpid()}")

    def refer(name: str, secret: Secret) -> str:
        made.folder(path.parent / SECRETS)
        file = _free(path.parent / SECRETS / re.sub(r"[^A-Za-z0-9-]+", "-", name))
        made.file(file, f"{secret.value}\n", 0o600)
        secrets.append(file)
        return f"file:{SECRETS}/{file.name}"

    try:
        with _told(path):
            made.file(temporary, rendered(draft, refer), 0o666)
            settings = load(temporary, os.environ)
            made.folder(settings.data_dir)
            made.key(settings.key_file)
            extra = _extra(unit, settings)
            if extra is not None:
                made.file(*extra, 0o666)
            _appear(temporary, path)
    except BaseException:
        if temporary.exists() and path.exists() and path.samefile(temporary):
            path.unlink()
        made.undo()
        raise
    temporary.unlink(missing_ok=True)
    return Written(settings, tuple(secrets), extra[0] if extra else None)


def _extra(unit: Callable[[Settings], tuple[Path, str]] | None, settings: Settings) -> tuple[Path, str] | None:
    try:
        return unit(settings) if unit is not None else None
    except ValueError as error:
        raise ConfigError(Problem("", "", f"no unit can be made: {error}", "Go without one, or rename it.")) from None


def _appear(temporary: Path, path: Path) -> None:
    """Have *temporary* be *path* in one step, and never over one that somebody made meanwhile."""
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS) or path.exists():
            raise
        temporary.rename(path)  # a file system without hard links


def _free(path: Path) -> Path:
    """Return *path*, or one like it that nobody has: secrets of before are not written over."""
    return next(
        one for one in (path, *(path.with_name(f"{path.name}-{n}") for n in range(2, 10_000))) if not one.exists()
    )


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Within, what the system refuses becomes a sentence with a cure."""
    try:
        yield
    except OSError as error:
        cure = "Name a folder that is there and may be written to."
        where = str(error.filename or path)
        raise ConfigError(Problem(where, "", f"cannot be made: {error.strerror}", cure)) from None
