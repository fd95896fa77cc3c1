"""The data directory: made private, and held by one process at a time.

Two bots on one database would write under each other's caches, and each would renew the
other's tokens; so whoever runs holds a lock on the directory until it ends.
"""

import fcntl
import os
from pathlib import Path

from omnibot.errors import ConfigError, Problem


class InUse(ConfigError):
    """Another process holds the data directory."""


class DataDir:
    """A data directory that this process holds."""

    def __init__(self, path: Path, descriptor: int) -> None:
        """Use `hold` instead."""
        self.path = path
        self._descriptor = descriptor

    @classmethod
    def hold(cls, path: Path) -> "DataDir":
        """Make *path* if there is none, mode 0700, and lock it until `release` or the end of the process.

        Raises:
            InUse: another process holds it.
            ConfigError: it cannot be written.
        """
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            cure = "Give the bot's user write permission, or name another folder."
            raise ConfigError(Problem(str(path), "data_dir", f"cannot be used: {error.strerror}", cure)) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            what = "another omnibot is running on this folder"
            raise InUse(Problem(str(path), "data_dir", what, "Stop it, or name another folder.")) from None
        return cls(path, descriptor)

    def release(self) -> None:
        """Let others have it."""
        os.close(self._descriptor)
