"""After a backup was restored the bot is another device, signed by itself, and the old keys encrypt nothing more."""

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.matrix import Settings
from adapters.matrix import anew as module
from adapters.matrix.account import kept_login
from adapters.matrix.anew import begin_anew, restored, take_over
from adapters.matrix.answers import MatrixError
from adapters.matrix.store import CryptoStore, open_store
from matrix_stand_in import BOT, PASSWORD, Bot, Fault, StandIn, bot_at, bot_of
from omnibot.adapter import RESTORED
from omnibot.errors import Refused
from omnibot.provider import Secret
from omnibot.testing.fakes import FakeStore

OTHER = "@ada:hs.test"


@pytest.fixture
async def server() -> AsyncIterator[StandIn]:
    async with StandIn().up() as server:
        yield server


def settings_of(server: StandIn) -> Settings:
    return Settings.model_validate({"homeserver": server.url, "user": BOT, "password": Secret(PASSWORD)})


def put_back(bot: Bot) -> None:
    """Say what `omnibot restore` says."""
    bot.tools.directory.mkdir(mode=0o700, exist_ok=True)
    (bot.tools.directory / RESTORED).write_text("1.0\n", "ascii")


def kinds(server: StandIn) -> list[str]:
    """Return what was asked for of logging in and out."""
    return [where for method, where, _ in server.asked if method == "POST" and where in ("login", "logout")]


async def device(server: StandIn, secrets: FakeStore) -> str:
    login = await kept_login(settings_of(server), secrets)
    assert login is not None
    return login.device


async def test_it_comes_back_as_another_device(tmp_path: Path, server: StandIn) -> None:
    """The old one is logged out; the new one has keys of its own, and is signed by the same master key."""
    secrets = FakeStore()
    async with bot_at(tmp_path, server, secrets, encryption=True) as bot:
        first, files = await device(server, secrets), {one.name for one in bot.tools.directory.glob("*.db")}
    seeds = secrets.rows[f"cross-signing {BOT}"]
    put_back(bot)
    async with bot_at(tmp_path, server, secrets, encryption=True) as bot:
        second, after = await device(server, secrets), {one.name for one in bot.tools.directory.iterdir()}
    async with bot_at(tmp_path, server, secrets, encryption=True) as bot:
        third = await device(server, secrets)

    assert first != second == third
    assert ["login", "logout", "login"] == kinds(server)
    assert [second] == [one for _, one in server.tokens.values()]
    assert not files & after
    assert RESTORED not in after
    assert [] == [one for one in after if one.endswith(".old")]
    assert seeds == secrets.rows[f"cross-signing {BOT}"]


async def test_a_folder_without_the_mark_is_left_alone(tmp_path: Path, server: StandIn) -> None:
    """As at every other start: one device, one login."""
    secrets = FakeStore()
    for _ in range(2):
        async with bot_at(tmp_path, server, secrets, encryption=True):
            pass

    assert ["login"] == kinds(server)


async def test_a_token_has_to_be_of_another_device(tmp_path: Path, server: StandIn) -> None:
    """With the old device's the bot stays away, however often it is started; with another it goes on."""
    secrets = FakeStore()
    server.tokens |= {"old": (BOT, "OLD"), "new": (BOT, "NEW")}
    async with bot_at(tmp_path, server, secrets, token=Secret("old")) as bot:
        pass
    put_back(bot)
    cures = []
    for _ in range(2):
        with pytest.raises(Refused, match="must not be used again") as caught:
            async with bot_at(tmp_path, server, secrets, token=Secret("old")):
                pass
        cures.append(caught.value.cure)
    marked = (bot.tools.directory / RESTORED).exists()
    async with bot_at(tmp_path, server, secrets, token=Secret("new")) as bot:
        unmarked = not (bot.tools.directory / RESTORED).exists()

    assert [True, True] == ["another `token`, of a new login" in one for one in cures]
    assert (True, True) == (marked, unmarked)


@pytest.mark.parametrize("moment", ["log_out", "forget_login", "put_away"])
async def test_cut_off_anywhere_it_begins_again(
    tmp_path: Path, server: StandIn, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """The mark goes last: there is one new device in the end, and the old keys are gone."""
    secrets = FakeStore()
    async with bot_at(tmp_path, server, secrets, encryption=True) as bot:
        first = await device(server, secrets)
    put_back(bot)

    def die(*_: object) -> None:
        raise OSError("killed here")

    with monkeypatch.context() as patch:
        patch.setattr(module, moment if moment == "forget_login" else f"_{moment}", die)
        with pytest.raises(OSError, match="killed here"):
            await begin_anew(bot.tools, settings_of(server))
    marked = (bot.tools.directory / RESTORED).exists()
    async with bot_at(tmp_path, server, secrets, encryption=True):
        second = await device(server, secrets)

    assert marked
    assert first != second
    assert [second] == [one for _, one in server.tokens.values()]


async def test_while_the_homeserver_is_away_nothing_is_forgotten(tmp_path: Path, server: StandIn) -> None:
    """The old device could not be logged out any more."""
    secrets = FakeStore()
    async with bot_at(tmp_path, server, secrets) as bot:
        first = await device(server, secrets)
    put_back(bot)
    server.fault("POST", "logout", Fault(status=502))
    with pytest.raises(MatrixError):
        await begin_anew(bot.tools, settings_of(server))
    kept = await device(server, secrets)
    await begin_anew(bot.tools, settings_of(server))

    assert first == kept
    assert None is await kept_login(settings_of(server), secrets)


async def test_one_that_was_logged_out_before_holds_nothing_up(tmp_path: Path, server: StandIn) -> None:
    """As by the operator."""
    secrets = FakeStore()
    async with bot_at(tmp_path, server, secrets) as bot:
        pass
    put_back(bot)
    server.tokens.clear()
    async with bot_at(tmp_path, server, secrets):
        pass

    assert 1 == len(server.tokens)


async def test_a_backup_from_before_the_first_start_is_no_trouble(tmp_path: Path, server: StandIn) -> None:
    """There is no device in it."""
    bot = bot_of(tmp_path, server)
    put_back(bot)
    await begin_anew(bot.tools, settings_of(server))

    assert [] == kinds(server)
    assert not (bot.tools.directory / RESTORED).exists()


async def test_signing_keys_that_were_seen_first_stay_so(tmp_path: Path) -> None:
    """Or whoever runs a homeserver could show others, once the bot begins anew."""
    old = tmp_path / "abc.old"
    with contextlib.closing(sqlite3.connect(old)) as connection:
        connection.execute("CREATE TABLE omnibot_masters (user_id TEXT PRIMARY KEY, key TEXT NOT NULL)")
        connection.execute("INSERT INTO omnibot_masters VALUES (?, 'first')", (OTHER,))
        connection.commit()
    (tmp_path / "damaged.old").write_bytes(b"nothing")
    store: CryptoStore = await open_store(tmp_path, FakeStore(), BOT, "NEW")
    try:
        await take_over(tmp_path, store)
        found = store.masters()
    finally:
        store.close()

    assert {OTHER: "first"} == found
    assert not any(one.exists() for one in (old, tmp_path / "damaged.old"))


def test_the_operator_is_told_what_to_do(server: StandIn) -> None:
    """By password nothing, with a token another."""
    by_token = Settings.model_validate({"homeserver": server.url, "user": BOT, "token": Secret("t")})

    assert "by itself" in restored(settings_of(server))
    assert "another `token`" in restored(by_token)
