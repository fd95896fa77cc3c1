"""Redmine as Debian packages it: one server process for each instance, each with a database and people of its own.

The package is unpacked in the cache, not installed, so a Redmine that the machine may have is
left alone.  An instance is a folder of the run; its database is made once, kept in the cache,
and copied for each run.
"""

import hashlib
import os
import re
import secrets
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from servers.browser import HttpBrowser
from servers.processes import Process, ServerFailed, cache, fixed_ports, require

HERE = Path(__file__).parent
CODE = cache().resolve() / "redmine" / "usr" / "share" / "redmine"
RUBY = "/usr/bin/ruby"  # Debian's own: another one on PATH does not know Debian's gems
PUMA = "/usr/bin/puma"

PEOPLE = ("alice", "bob", "carol")
FOLDERS = ("config", "files", "log", "public", "tmp")

_READ_KEY = "SELECT value FROM tokens WHERE action = 'api' AND user_id = (SELECT id FROM users WHERE login = ?)"
_SET_KEY = "UPDATE tokens SET value = ? WHERE action = 'api' AND user_id = (SELECT id FROM users WHERE login = ?)"

_VERSION = re.compile(r"(?:MAJOR|MINOR|TINY) *= *(\d+)")
_KEY = re.compile(r"<pre>([0-9a-f]{40})</pre>")
_CSRF = re.compile(r'<meta name="csrf-token" content="([^"]+)"')


@dataclass
class Redmine:
    """A Redmine whose people are alice, bob and carol, with the password ``pw-<name>-long``.

    Everybody sees the project ``demo``, of which alice and bob are managers; ``secret`` is alice's
    alone.  Trackers, statuses, priorities and activities are those that Redmine brings along.
    """

    home: Path
    """The instance's folder."""

    process: Process
    url: str
    """Its address, without a slash at the end; the same after a restart."""

    _log_begins: int = field(default=0, repr=False)
    _api_off: bool = field(default=False, repr=False)

    @property
    def running(self) -> bool:
        """Whether it is up."""
        return self.process.running

    def start(self) -> None:
        """Start it, unless it is running.

        Raises:
            ServerFailed: it did not come up.
        """
        if not self.running:
            self.process.start(ready="* Listening on ")

    def stop(self) -> None:
        """Stop it; what is in its database stays."""
        self.process.stop()

    def clear(self) -> None:
        """Bring it up with the issues, hours, keys and browser sessions of its beginning; read the log from here.

        The beginning is the same each time, so the first issue of a test is number 1.
        """
        if self._api_off:
            self.stop()
            self._api_off = False
        with closing(sqlite3.connect(self.home / "first.sqlite")) as first, closing(self._database()) as database:
            first.backup(database)
        self.start()
        log = self._log_file()
        self._log_begins = log.stat().st_size if log.exists() else 0

    def log(self) -> list[str]:
        """Return what ``production.log`` got since this test began; ``Current user: carol (id=7)`` is in it."""
        with self._log_file().open("rb") as log:
            log.seek(self._log_begins)
            return log.read().decode(errors="replace").splitlines()

    def callers(self) -> list[str]:
        """Return who sent each request since this test began, as the log names them; nobody is ``anonymous``."""
        return [line.partition("Current user: ")[2].split()[0] for line in self.log() if "Current user: " in line]

    def key(self, login: str) -> str:
        """Return the API key of *login* as it is now; in another instance it is another one."""
        with closing(self._database()) as database:
            return str(database.execute(_READ_KEY, (login,)).fetchone()[0])

    @staticmethod
    def password(login: str) -> str:
        """Return the password of *login*, for a browser."""
        return f"pw-{login}-long"

    async def read_key(self, login: str) -> str:
        """Log in as *login*, open the account's page, and return the API key that it shows."""
        async with HttpBrowser(login, self.password(login)) as browser:
            page = await browser.walk(f"{self.url}/my/api_key")
        shown = _KEY.search(page.text)

        assert shown is not None, f"no key at {page.url}: {page.text}"
        return shown[1]

    async def reset_key(self, login: str) -> None:
        """Log in as *login* and press "Reset" beside the API key: the old one is good for nothing any more."""
        async with HttpBrowser(login, self.password(login)) as browser:
            page = await browser.walk(f"{self.url}/my/account")
            token = _CSRF.search(page.text)
            assert token is not None, f"not logged in at {page.url}: {page.text}"
            # The button is a link that a script turns into this form.
            async with browser.session.post(
                f"{self.url}/my/api_key", data={"authenticity_token": token[1]}, allow_redirects=False
            ) as answer:
                assert answer.status == 302, await answer.text()

    def switch_api_off(self) -> None:
        """Take the tick off "Enable REST web service"; `clear` sets it again."""
        self.stop()  # it keeps its settings in memory
        with closing(self._database()) as database:
            database.execute("UPDATE settings SET value = '0' WHERE name = 'rest_api_enabled'")
            database.commit()
        self._api_off = True
        self.start()

    def _database(self) -> sqlite3.Connection:
        return sqlite3.connect(self.home / "redmine.sqlite")

    def _log_file(self) -> Path:
        return self.home / "log" / "production.log"


# ------------------------------------------------------------------- instances


def _prepare(home: Path) -> dict[str, str]:
    """Make *home* an instance of Redmine without a database; return the environment that makes Redmine use it."""
    for name in FOLDERS:
        (home / name).mkdir(parents=True)
    database = f"production:\n  adapter: sqlite3\n  database: {home}/redmine.sqlite\n  timeout: 15000\n"
    (home / "config" / "database.yml").write_text(database)
    (home / "config" / "secret_key.txt").write_text(secrets.token_hex(64))
    shutil.copy(HERE / "Gemfile", home)
    return {
        "RAILS_ENV": "production",
        "BUNDLE_GEMFILE": str(home / "Gemfile"),
        "REDMINE_CODE": str(CODE),
        # The name is looked up among the code's own instances.  One that leads out of there leaves nothing behind.
        "REDMINE_INSTANCE": os.path.relpath(home, CODE / "instances"),
    }


def _version() -> str:
    return ".".join(_VERSION.findall((CODE / "lib" / "redmine" / "version.rb").read_text()))


def seeded(scratch: Path) -> Path:
    """Return the database that runs begin with: from the cache, or made now, in five seconds, in *scratch*.

    Raises:
        ServerFailed: it could not be made.
    """
    seed = HERE / "seed.rb"
    kept = cache() / f"redmine-{_version()}-{hashlib.sha256(seed.read_bytes()).hexdigest()[:12]}.sqlite"
    if not kept.exists():
        env = {**os.environ, **_prepare(scratch)}
        command = [RUBY, f"-r{CODE}/config/environment", str(seed)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)  # noqa: S603 - ours
        if done.returncode:
            raise ServerFailed(f"Redmine's database could not be made:\n{done.stdout}{done.stderr}")
        new = cache() / f".{kept.name}-{os.getpid()}"
        new.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(scratch / "redmine.sqlite", new)
        new.replace(kept)  # whole or not at all, and no matter if another run was faster
    return kept


@contextmanager
def instance(home: Path) -> Iterator[Redmine]:
    """A Redmine of its own in the folder *home*, which does not exist yet; it is up until the block ends."""
    absent = next((path for path in (CODE / "config.ru", Path(RUBY), Path(PUMA)) if not path.exists()), None)
    if absent is not None:
        require("redmine", f"there is no {absent} (`make servers` puts it there)")
    first = seeded(home.with_name(f"{home.name}-seeding"))
    env = _prepare(home)
    shutil.copy(first, home / "first.sqlite")
    with closing(sqlite3.connect(home / "first.sqlite")) as database:
        keys = [(secrets.token_hex(20), login) for login in PEOPLE]
        database.executemany(_SET_KEY, keys)
        database.commit()
    url = f"http://127.0.0.1:{fixed_ports(1)[0]}"
    command = [PUMA, "--config", "-", "--threads", "2:4", "--bind", url.replace("http", "tcp"), f"{CODE}/config.ru"]
    redmine = Redmine(home, Process(command, log=home / "log" / "puma", env=env), url)
    try:
        redmine.clear()
        yield redmine
    finally:
        redmine.stop()


@pytest.fixture(scope="session")
def redmine_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redmine]:
    """The run's Redmine; tests ask for `redmine`."""
    with instance(tmp_path_factory.mktemp("redmine") / "first") as server:
        yield server


@pytest.fixture
def redmine(redmine_server: Redmine) -> Redmine:
    """A real Redmine that is up, with no issue in it and an empty log."""
    redmine_server.clear()
    return redmine_server


@pytest.fixture(scope="session")
def redmine_second_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redmine]:
    """The run's other Redmine; tests ask for `redmine_second`."""
    with instance(tmp_path_factory.mktemp("redmine") / "second") as server:
        yield server


@pytest.fixture
def redmine_second(redmine_second_server: Redmine) -> Redmine:
    """Another Redmine beside `redmine`: the same logins and passwords, other keys, other issues."""
    redmine_second_server.clear()
    return redmine_second_server
