"""From a configuration to a running bot, and to its orderly end."""

import asyncio
import ctypes
import os
import resource
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TextIO, cast

import aiohttp
import pytest

from omnibot import app, control
from omnibot.adapter import Adapter, Ready
from omnibot.app import App, Parts, ask_running, find_parts, load_keyring
from omnibot.config import load
from omnibot.datadir import DataDir
from omnibot.demo.play import Transcript
from omnibot.errors import ConfigError, Refused, UserError
from omnibot.skill import Context, Skill
from omnibot.supervisor import Supervisor
from omnibot.vault import new_key_file

CONFIG = """\
listen: 127.0.0.1:{port}
networks:
  here:
    adapter: console
    user: ada
skills: [ping]
"""


@pytest.fixture(autouse=True)
def soft(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits of this process stay as they are."""
    monkeypatch.setattr(app, "harden", lambda: None)


@pytest.fixture
def path(tmp_path: Path, unused_tcp_port: int) -> Path:
    """A configuration of one console, with its key."""
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG.format(port=unused_tcp_port), "utf-8")
    (tmp_path / "data").mkdir(mode=0o700)
    new_key_file(tmp_path / "data" / "omnibot.key")
    return path


def add(path: Path, text: str) -> Path:
    path.write_text(path.read_text("utf-8") + text, "utf-8")
    return path


@dataclass
class Running:
    """A bot whose console is this test."""

    task: asyncio.Task[None]
    typing: TextIO
    screen: Transcript

    async def reads(self, text: str) -> None:
        """Return as soon as *text* was said."""
        async with asyncio.timeout(5):
            while text not in self.screen.text:
                self.screen.more.clear()
                await self.screen.more.wait()

    def types(self, line: str) -> None:
        self.typing.write(f"{line}\n")
        self.typing.flush()

    async def ends(self) -> None:
        """Return when it has ended by itself."""
        async with asyncio.timeout(5):
            await self.task


@asynccontextmanager
async def running(parts: Parts) -> AsyncIterator[Running]:
    """Run the bot of *parts*; at the end of the block its input ends, if it still runs."""
    reading, writing = os.pipe()
    with os.fdopen(reading, encoding="utf-8") as stdin, os.fdopen(writing, "w", encoding="utf-8") as typing:
        screen = Transcript()
        make, settings = parts.adapters["here"]
        console = partial(make, stdin=stdin, stdout=cast("TextIO", screen))
        task = asyncio.create_task(App.run(replace(parts, adapters={**parts.adapters, "here": (console, settings)})))
        try:
            yield Running(task, typing, screen)
        finally:
            typing.close()
            await asyncio.wait([task])


def free_again(path: Path) -> bool:
    """Whether the data directory is nobody's, and the database was closed."""
    data = path.parent / "data"
    DataDir.hold(data).release()
    return not (data / "omnibot.db-wal").exists()


# --------------------------------------------------------------------------- parts


def test_the_parts_are_found(path: Path) -> None:
    """Adapters with their options, skills, services; nothing runs yet."""
    parts = find_parts(load(path, {}))

    assert (["here"], ["ping"], ()) == (
        list(parts.adapters),
        [skill.name for skill in parts.skills],
        parts.instances.names(),
    )
    assert "ada" == getattr(parts.adapters["here"][1], "user", None)
    assert ["data", "config.yaml"] == sorted((one.name for one in path.parent.iterdir()), reverse=True)


def test_a_catalogue_of_ones_own_is_read_too(path: Path) -> None:
    """It goes before what omnibot ships."""
    (path.parent / "own").mkdir()
    (path.parent / "own" / "demo.yaml").write_text(
        "title: Mine\nscopes: {}\ndiscovery: true\nwhoami: {path: /me, id: id, login: id}\n", "utf-8"
    )
    add(path, "catalogue_dir: own\nproviders:\n  demo: {client_id: x, issuer: 'https://notes.example.org'}\n")

    assert "Mine" == find_parts(load(path, {})).instances.get("demo").title


LOGIN = """\
networks:
  here: {adapter: console, confirm: login}
"""
CLIENT = "providers:\n  door: {client_id: x, issuer: 'https://door.example.org'}\n"
DOOR = "title: Door\nscopes: {}\ndiscovery: true\nwhoami: {path: /me, id: id, login: id}\nidentifies: console\n"


def login_problems(path: Path, *, text: str, public: bool = True, known: bool = True) -> list[str]:
    (path.parent / "own").mkdir(exist_ok=True)
    if known:
        (path.parent / "own" / "door.yaml").write_text(DOOR, "utf-8")
    around = "public_url: https://bot.example.org\n" if public else ""
    path.write_text(f"{around}catalogue_dir: own\n{LOGIN}{text}", "utf-8")
    with pytest.raises(ConfigError) as refused:
        find_parts(load(path, {}))
    return [f"{one.key}: {one.what}. {one.cure}" for one in refused.value.problems]


def test_a_login_that_proves_who_asks_is_found(path: Path) -> None:
    """By the adapter that it says it identifies people of; other networks have none."""
    (path.parent / "own").mkdir()
    (path.parent / "own" / "door.yaml").write_text(DOOR, "utf-8")
    around = "public_url: https://bot.example.org\ncatalogue_dir: own\n"
    path.write_text(f"{around}{LOGIN}  there: {{adapter: console}}\n{CLIENT}", "utf-8")
    parts = find_parts(load(path, {}))

    assert {"here": "door@default"} == parts.logins
    assert parts.logins == app.options(parts, load_keyring(parts.settings.key_file)).logins


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"text": "", "known": False}, "no service tells who people of console are. Leave confirm out."),
        ({"text": ""}, "login needs providers.door, with a client. Register the bot there, with the redirect address"),
        ({"text": CLIENT, "public": False}, "login needs an address for browsers to come back to. Add public_url"),
        (
            {"text": CLIENT + "    #\n".join(["", ""]) + "  "},
            "",
        ),
    ][:3],
)
def test_a_login_that_cannot_be_is_told_with_its_cure(path: Path, said: dict[str, Any], words: str) -> None:
    """No service for it, none configured, nowhere to come back to."""
    told = login_problems(path, **said)

    assert 1 == len(told)
    assert told[0].startswith("networks.here.confirm: login ")
    assert words in told[0]


def test_of_two_logins_neither_is_guessed(path: Path) -> None:
    """Which one counts is not left to the order in a file."""
    more = "    instances: {other: {issuer: 'https://other.example.org'}}\n"
    text = f"providers:\n  door:\n    client_id: x\n    issuer: https://door.example.org\n{more}"
    assert ["networks.here.confirm: login could be any of door@default, door@other. Keep one of them."] == (
        login_problems(path, text=text)
    )


def test_all_that_is_missing_is_told_at_once(path: Path) -> None:
    """Adapters, their options, skills and services, each with its line."""
    path.write_text(
        "networks:\n  a: {adapter: console, usr: x}\n  b: {adapter: smoke}\n"
        "skills: [ping, pong]\nproviders:\n  githob: {client_id: x}\n",
        "utf-8",
    )
    with pytest.raises(ConfigError) as refused:
        find_parts(load(path, {}))

    told = [str(problem) for problem in refused.value.problems]
    assert 4 == len(told)
    for word in ("networks.a.usr", "networks.b.adapter", "pong", "providers.githob"):
        assert [True] == [line.startswith("config.yaml:") for line in told if word in line]


# ----------------------------------------------------------------------------- keys


def test_without_a_key_it_goes_on_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With what will not work, and the cure."""
    keyring = load_keyring(tmp_path / "key")

    said = (
        f"{tmp_path}/key: there is no key file. Until then no account can be linked or used. "
        "Put back the one you had; for a new bot make one: omnibot keys new"
    )

    assert not keyring.ids
    assert [said] == caplog.messages


# -------------------------------------------------------------------------- running


async def test_it_ends_with_its_last_network(path: Path) -> None:
    """After the last answer; the database is closed and the lock is released."""
    async with running(find_parts(load(path, {}))) as bot:
        bot.types("!ping")
        bot.types("exit")
        await bot.ends()

    assert "pong\n" == bot.screen.text
    assert free_again(path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it(path: Path, number: signal.Signals) -> None:
    """And afterwards it means what it meant before."""
    async with running(find_parts(load(path, {}))) as bot:
        bot.types("!ping")
        await bot.reads("pong")
        os.kill(os.getpid(), number)
        await bot.ends()

    assert not asyncio.get_running_loop().remove_signal_handler(number)  # there is none left
    assert free_again(path)


def slow(seconds: float) -> Skill:
    """A skill that takes its time."""
    skill = Skill("slow")

    @skill.command
    async def slow(ctx: Context) -> str:
        """Take a while."""
        await ctx.say("begun")
        await asyncio.sleep(seconds)
        return "finished"

    return skill


@pytest.mark.parametrize(("seconds", "finished"), [(0.1, True), (60.0, False)], ids=["in time", "too long"])
async def test_what_is_under_way_has_its_grace(
    path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, finished: bool
) -> None:
    """A command may come to its end within the grace, and is stopped after it; the bot ends either way."""
    monkeypatch.setattr(app, "_GRACE", 5.0 if finished else 0.1)
    parts = replace(find_parts(load(path, {})), skills=[slow(seconds)])
    async with running(parts) as bot:
        bot.types("!slow")
        await bot.reads("begun")
        os.kill(os.getpid(), signal.SIGTERM)
        await bot.ends()

    assert finished == ("finished" in bot.screen.text)
    assert free_again(path)


async def test_the_listener_tells_how_it_is(path: Path, unused_tcp_port: int) -> None:
    """Networks by name, the vault's state, and nothing of anybody; it is gone when the bot is."""
    add(path, f"public_url: http://127.0.0.1:{unused_tcp_port}\n")
    async with running(find_parts(load(path, {}))) as bot, aiohttp.ClientSession() as session:
        bot.types("!ping")
        await bot.reads("pong")
        async with session.get(f"http://127.0.0.1:{unused_tcp_port}/healthz") as answer:
            health = await answer.json()
        bot.types("exit")
        await bot.ends()
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(f"http://127.0.0.1:{unused_tcp_port}/healthz")

    assert {"status": "ok", "networks": {"here": "ready"}, "vault": "open"} == health


async def test_metrics_are_shown_where_the_operator_wants_them(path: Path, unused_tcp_port_factory: Any) -> None:
    """At their own address, while the bot runs; one that is taken ends the start in words."""
    port = unused_tcp_port_factory()
    parts = find_parts(load(add(path, f"metrics: {{listen: 127.0.0.1:{port}}}\n"), {}))
    async with running(parts) as bot, aiohttp.ClientSession() as session:
        bot.types("!ping")
        await bot.reads("pong")
        async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
            shown = await answer.text()
        bot.types("exit")
        await bot.ends()
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", port)
    async with taken, running(parts) as bot:
        with pytest.raises(ConfigError, match=r"metrics\.listen"):
            await bot.ends()

    assert 'omnibot_network_ready{network="here"} 1.0' in shown
    assert free_again(path)


async def test_whether_it_is_ready_is_told_to_probes(path: Path, unused_tcp_port: int) -> None:
    """With 200 or 503, of all networks or one; a locked vault, a network that is another, a full disk are a no."""
    add(path, "public_url: https://bot.example.org\nproviders: {redmine: {base: http://127.0.0.1:9}}\n")
    base = f"http://127.0.0.1:{unused_tcp_port}/readyz"

    class Refusing:
        def __init__(self, *_: object) -> None: ...

        async def run(self, *_: object) -> None:
            raise Refused("no", cure="Mend it.")

    parts = find_parts(load(path, {}))
    refusing = cast("Callable[..., Adapter]", Refusing)
    there = {**parts.adapters, "there": (refusing, parts.adapters["here"][1])}
    async with running(replace(parts, adapters=there)) as bot, aiohttp.ClientSession() as session:
        bot.types("!ping")
        await bot.reads("pong")
        found = []
        for place in ("", "/here", "/there", "/nowhere"):
            async with session.get(f"{base}{place}") as answer:
                found.append((answer.status, await answer.json() if answer.status != 404 else {}))
        async with session.get(base, headers={"Host": "bot.example.org"}) as answer:
            public = answer.status
        async with session.get(base, headers={"Host": "evil.example"}) as answer:
            foreign = answer.status
        bot.types("exit")
        os.kill(os.getpid(), signal.SIGTERM)
        await bot.ends()

    assert [503, 200, 503, 404] == [status for status, _ in found]
    assert {
        "ready": False,
        "networks": {"here": "ready", "there": "refused"},
        "vault": "open",
        "storage": "writable",
    } == found[0][1]
    assert (503, 421) == (public, foreign)


async def test_the_command_line_reaches_it(path: Path) -> None:
    """By a socket that is its owner's alone, as long as it runs."""
    settings = load(path, {})
    async with running(find_parts(settings)) as bot:
        bot.types("!ping")
        await bot.reads("pong")
        status = await ask_running(settings, "status")
        mode = (settings.data_dir / "control").stat().st_mode & 0o777
        bot.types("exit")
        await bot.ends()

    assert ([True], 0o600) == ([status["running"]], mode)
    assert not (settings.data_dir / "control").exists()
    assert await ask_running(settings, "status") is None


async def test_nothing_to_link_needs_no_listener(path: Path, unused_tcp_port: int) -> None:
    """Without services and a public address no port is opened."""
    async with running(find_parts(load(path, {}))) as bot:
        bot.types("!ping")
        await bot.reads("pong")
        with pytest.raises(OSError, match=r"[Cc]onnect"):
            await asyncio.open_connection("127.0.0.1", unused_tcp_port)


async def test_a_port_in_use_is_one_sentence(path: Path, unused_tcp_port: int) -> None:
    """And what was begun is ended: the lock and the database are free."""
    add(path, f"public_url: http://127.0.0.1:{unused_tcp_port}\n")
    other = await asyncio.start_server(lambda *_: None, "127.0.0.1", unused_tcp_port)
    async with other:
        with pytest.raises(ConfigError, match=r"listen: .* is in use by another program"):
            await App.run(find_parts(load(path, {})))

    assert free_again(path)


async def test_a_folder_in_use_is_one_sentence(path: Path) -> None:
    """Nothing of it is touched."""
    held = DataDir.hold(path.parent / "data")
    with pytest.raises(ConfigError, match="another omnibot is running on this folder"):
        await App.run(find_parts(load(path, {})))
    held.release()

    assert not (path.parent / "data" / "omnibot.db").exists()


async def test_an_adapter_that_fails_takes_nobody_along(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is tried again by and by, while another network answers."""

    class Broken:
        def __init__(self, *_: object) -> None: ...

        async def run(self, *_: object) -> None:
            raise RuntimeError("no route")

    parts = find_parts(load(path, {}))
    broken = cast("Callable[..., Adapter]", Broken)
    async with running(
        replace(parts, adapters={**parts.adapters, "there": (broken, parts.adapters["here"][1])})
    ) as bot:
        bot.types("!ping")
        await bot.reads("pong")
        os.kill(os.getpid(), signal.SIGTERM)
        await bot.ends()

    assert any(message.startswith("there failed (RuntimeError); next try in") for message in caplog.messages)


async def test_a_network_is_connected_anew(path: Path) -> None:
    """At once, also where the bot had been turned away for good, and where it is connected; nobody else notices."""
    runs: list[str] = []

    class Moody:
        def __init__(self, *_: object) -> None: ...

        async def run(self, _: object, ready: Ready) -> None:
            runs.append("begun")
            if len(runs) == 1:
                raise Refused("the password is wrong", cure="Mend it.")
            try:
                await ready("there.example")
                await asyncio.Event().wait()
            finally:
                runs.append("ended")

    settings = load(path, {})
    parts = find_parts(settings)
    moody = cast("Callable[..., Adapter]", Moody)
    folder = settings.data_dir

    async def states() -> dict[str, str]:
        return {one["name"]: one["state"] for one in await control.ask(folder, "networks list", {}, lambda _: None)}

    async with running(replace(parts, adapters={**parts.adapters, "there": (moody, parts.adapters["here"][1])})) as bot:
        bot.types("!ping")
        await bot.reads("pong")
        before = await states()
        for _ in range(2):
            await control.ask(folder, "networks reconnect", {"name": "there"}, lambda _: None)
            async with asyncio.timeout(5):
                while (await states())["there"] != "ready":
                    pass  # each look goes through the loop
        with pytest.raises(UserError, match="There are: here, there"):
            await control.ask(folder, "networks reconnect", {"name": "nowhere"}, lambda _: None)
        bot.types("!ping")
        os.kill(os.getpid(), signal.SIGTERM)
        await bot.ends()

    assert {"here": "ready", "there": "refused"} == before
    assert ["begun", "begun", "ended", "begun", "ended"] == runs


async def test_the_only_network_is_connected_anew(path: Path) -> None:
    """The bot does not end meanwhile."""
    settings = load(path, {})
    async with running(find_parts(settings)) as bot:
        bot.types("!ping")
        await bot.reads("pong")
        await control.ask(settings.data_dir, "networks reconnect", {"name": "here"}, lambda _: None)
        skills = await control.ask(settings.data_dir, "skills list", {}, lambda _: None)
        await control.ask(settings.data_dir, "skills unload", {"name": "ping"}, lambda _: None)
        none = await control.ask(settings.data_dir, "skills list", {}, lambda _: None)
        os.kill(os.getpid(), signal.SIGTERM)
        await bot.ends()

    assert ([("ping", 1)], []) == ([(one["name"], one["commands"]) for one in skills], none)


async def test_a_supervisor_that_fails_is_logged(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It never should; if it does, the bot ends in order all the same, and the log has why."""

    async def fails(_: Supervisor) -> None:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(Supervisor, "run", fails)
    await App.run(find_parts(load(path, {})))

    assert "a network ended in a way it must not" in caplog.messages
    assert "a mistake of ours" in caplog.text
    assert free_again(path)


# ------------------------------------------------------------------------- hardening


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_the_process_is_hardened(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    """No core file, no other process looking in, and files for the owner alone (A38)."""
    monkeypatch.undo()
    done: list[tuple[object, ...]] = []

    class Library:
        def __init__(self, name: None) -> None: ...

        def prctl(self, *words: int) -> None:
            done.append(("prctl", *words))

    record: Callable[..., None] = lambda *words: done.append(words)  # noqa: E731 - a recorder
    monkeypatch.setattr(resource, "setrlimit", record)
    monkeypatch.setattr(ctypes, "CDLL", Library)
    monkeypatch.setattr(os, "umask", record)
    monkeypatch.setattr("sys.platform", platform)
    app.harden()

    prctl = [("prctl", 4, 0, 0, 0, 0)] if platform == "linux" else []
    assert [(resource.RLIMIT_CORE, (0, 0)), *prctl, (0o077,)] == done
