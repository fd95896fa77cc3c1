"""A39: somebody reads the disk: the database, its write-ahead log, a backup.

Backups lie where nobody looks after them, and a log keeps what a row no longer says.

What must hold: no token, code or link stands in any of these files, in any spelling that a search would find:
while the bot runs and has an account, a half-made one, a parked command and a token that waits for its
revocation. After an account is unlinked, not even its sealed token is left in the files.

The backup is the one that `omnibot backup` makes, with all that it puts in; the master key is in it in no spelling.

What remains: whoever has the key file as well has everything. A backup made before an account was unlinked
holds its sealed token; `keys rotate` and `keys retire` make that one worthless.
"""

import asyncio
import base64
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from omnibot import backup, database
from omnibot.backup import back_up
from omnibot.database import Database
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.testing.bench import ADA, GRACE, Bench
from omnibot.vault import Revoker, Sealer, _pack

PIECE = 24
"""Bytes of a blob by which it is searched for: a page may end anywhere in it."""


async def files(bench: Bench, folder: Path) -> dict[str, bytes]:
    """Return the content of everything in the data directory, and of a backup made now."""
    copy = folder / f"backup-{secrets.token_hex(4)}.tar"
    await back_up(bench.core, str(copy), 0, lambda _: None)
    return await asyncio.to_thread(contents_of, [bench.core.database.path.parent, copy])


def contents_of(places: Iterable[Path]) -> dict[str, bytes]:
    """Return the content of each file of *places*, and of what is in the folders there."""
    every = [one for place in places for one in (place.iterdir() if place.is_dir() else [place])]
    return {one.name: one.read_bytes() for one in every if one.is_file()}


def spellings(secret: str) -> Iterable[bytes]:
    """Yield how *secret* may stand in a file: as it is, in UTF-16, in hexadecimal, in base64 at any offset."""
    data = secret.encode()
    yield data
    yield from (secret.encode("utf-16-le"), secret.encode("utf-16-be"))
    yield from (data.hex().encode(), data.hex().upper().encode())
    for offset in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(bytes(offset) + data).rstrip(b"=")[4:-4]


def found(contents: dict[str, bytes], canaries: Iterable[str]) -> list[tuple[str, str]]:
    """Return where which of the *canaries* stands."""
    return [
        (name, canary)
        for name, content in contents.items()
        for canary in canaries
        if any(spelling in content for spelling in spellings(canary))
    ]


def pieces(blob: bytes) -> list[bytes]:
    """Return *blob* cut up."""
    return [blob[start : start + PIECE] for start in range(0, len(blob) - PIECE + 1, PIECE)]


def issued(provider: DemoProvider) -> list[str]:
    """Return every token and code that the service ever gave out."""
    return [*provider._ledger._tokens, *provider._ledger._codes]


def sealed_with_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Sealer, "seal", lambda self, public_key, head, token: _pack(head, token))


def boxed_with_nothing(patch: pytest.MonkeyPatch) -> None:
    """Keep in the clear what waits to be handed back."""
    patch.setattr(Revoker, "box", lambda self, purpose, token: bytes(4) + token.encode())


def hidden_badly(patch: pytest.MonkeyPatch) -> None:
    """Seal as somebody does who takes base64 for encryption."""
    patch.setattr(Sealer, "seal", lambda self, public_key, head, token: base64.b64encode(_pack(head, token)))


def kept_as_said(patch: pytest.MonkeyPatch) -> None:
    """Box nothing that a flow or a person has to remember."""
    patch.setattr(Sealer, "box", lambda self, purpose, data: bytes(4) + data)


def deleted_like_any_row(patch: pytest.MonkeyPatch) -> None:
    """Leave erased rows where they were until something else comes to lie there."""
    kept = tuple(
        tuple(one.replace("secure_delete = ON", "secure_delete = OFF") for one in some) for some in CONNECTIONS
    )
    patch.setattr(database, "_CONNECTIONS", kept)


def left_in_the_log(patch: pytest.MonkeyPatch) -> None:
    """Never empty the write-ahead log."""

    async def nothing(_: Database) -> None:
        pass

    patch.setattr(Database, "checkpoint", nothing)


CONNECTIONS = database._CONNECTIONS


@pytest.mark.attack("A39", sabotage=sealed_with_nothing)
async def test_with_accounts(bench: Bench, tmp_path: Path, provider: DemoProvider) -> None:
    """One linked and used, one that waits for its code."""
    await bench.link()
    await bench.say("!notes")
    await bench.say("!link demo", GRACE)
    async with Browser() as browser:
        await bench.authorise(browser, bench.link_for(GRACE), "grace")
        code = browser.code
        contents = await files(bench, tmp_path)

    assert {"omnibot.db", "omnibot.db-wal", "omnibot.db-shm"} <= set(contents)
    assert [] == found(contents, [*issued(provider), code, "demo-secret"])


@pytest.mark.attack("A39", sabotage=hidden_badly)
async def test_in_another_spelling(bench: Bench, tmp_path: Path, provider: DemoProvider) -> None:
    """What is only spelt otherwise is found as well."""
    await bench.link()

    assert [] == found(await files(bench, tmp_path), issued(provider))


@pytest.mark.attack("A39", sabotage=kept_as_said)
async def test_with_a_parked_command_and_a_kept_link(bench: Bench, tmp_path: Path) -> None:
    """Neither what somebody said, nor the link that waits for them, stands there to be read."""
    bench.network.close_dms(ADA)
    await bench.say("!notes add canary-in-the-mine", ADA, bench.network.room("ops", ADA))
    contents = await files(bench, tmp_path)
    kept = await bench.rows("SELECT 1 FROM notices")

    assert 1 == len(kept)
    assert [] == found(contents, ["canary-in-the-mine", f"127.0.0.1:{bench.plan.port}/l/"])


@pytest.mark.attack("A39", sabotage=boxed_with_nothing)
async def test_with_a_token_that_waits_for_its_revocation(bench: Bench, tmp_path: Path, provider: DemoProvider) -> None:
    """The queue holds it boxed."""
    await bench.link()
    provider.fail("/revoke", times=None)
    await bench.say("!unlink demo")
    await bench.core.revoking.work()
    waiting = await bench.rows("SELECT 1 FROM revocations")

    assert 1 == len(waiting)
    assert [] == found(await files(bench, tmp_path), issued(provider))


def keys_of(path: Path) -> list[str]:
    """Return the keys in a key file, in base64."""
    return [line.split()[1] for line in path.read_text("ascii").splitlines() if line[:1] not in ("", "#")]


def packing_the_folder(patch: pytest.MonkeyPatch) -> None:
    """Pack whatever lies in the data directory, as somebody does who makes a backup by hand."""
    copied = backup._copied

    def all_of_it(data_dir: Path, work: Path, networks: Iterable[str], say: Any) -> Iterator[tuple[str, Path]]:
        yield from copied(data_dir, work, networks, say)
        yield "omnibot.key", data_dir / "omnibot.key"

    patch.setattr(backup, "_copied", all_of_it)


@pytest.mark.attack("A39", sabotage=packing_the_folder)
async def test_no_master_key_is_in_a_backup(bench: Bench, tmp_path: Path) -> None:
    """Though it lies in the data directory, where `omnibot init` puts it; nor what was typed at a console."""
    await bench.link()
    data = bench.core.options.data_dir
    key = tmp_path / "omnibot.key"
    (data / "omnibot.key").write_bytes(key.read_bytes())
    (data / "fake").mkdir()
    (data / "fake" / "history").write_text("canary-typed", "utf-8")
    copy = tmp_path / "mine.tar"
    await back_up(bench.core, str(copy), 0, lambda _: None)
    contents = contents_of([copy])
    keys = keys_of(key)

    assert keys
    assert [] == found(contents, [*keys, "canary-typed"])
    assert [] == [one for one in keys if base64.b64decode(one) in contents["mine.tar"]]


async def sealed(bench: Bench) -> bytes:
    """Return the sealed token of the only account."""
    (row,) = await bench.rows("SELECT token FROM accounts")
    token: Any = row["token"]
    return bytes(token)


async def traces(bench: Bench, folder: Path, blob: bytes) -> list[str]:
    """Return the files in which something of *blob* is left."""
    contents = await files(bench, folder)
    return [name for name, content in contents.items() if any(piece in content for piece in pieces(blob))]


@pytest.mark.parametrize("words", ["!unlink demo", "!undo"])
@pytest.mark.attack("A39", sabotage=left_in_the_log)
async def test_after_unlinking_the_log_is_empty(bench: Bench, tmp_path: Path, words: str) -> None:
    """Not even what only the person's own key would have opened."""
    await bench.link()
    blob = await sealed(bench)
    before = await traces(bench, tmp_path, blob)
    await bench.say(words)

    assert before
    assert [] == await traces(bench, tmp_path, blob)


@pytest.mark.attack("A39", sabotage=deleted_like_any_row)
async def test_after_unlinking_the_page_is_wiped(bench: Bench, tmp_path: Path) -> None:
    """Once it had come to the database itself, and in a backup made after it was unlinked."""
    await bench.link()
    blob = await sealed(bench)
    await bench.core.database.checkpoint()
    await bench.say("!unlink demo")

    assert [] == await traces(bench, tmp_path, blob)
