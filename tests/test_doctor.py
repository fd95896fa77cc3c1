"""`omnibot check` finds what is wrong, says why it matters, and how to mend it."""

import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from omnibot import doctor
from omnibot.adapter import Finding
from omnibot.config import load
from omnibot.database import migrations
from omnibot.demo.provider import DemoProvider
from omnibot.doctor import examine, verify_rows
from omnibot.testing.bench import Bench, Plan
from omnibot.vault import Keyring, new_key_file
from servers.homeassistant.server import HomeAssistant
from servers.jenkins.server import Jenkins
from servers.redmine.server import Redmine

NO_PUBLIC_URL = "There is no public_url."

OLD = """\
title: Old
scopes: {}
server: {authorize_url: "{base}/a", token_url: "{base}/t", pkce: none}
whoami: {path: /me, id: id, login: id}
"""


@pytest.fixture
def path(tmp_path: Path, unused_tcp_port: int) -> Path:
    """A configuration in which nothing is wrong, with its key; nothing has run yet."""
    path = tmp_path / "config.yaml"
    path.write_text(
        f"listen: 127.0.0.1:{unused_tcp_port}\npublic_url: http://127.0.0.1:{unused_tcp_port}\nskills: [ping]\n",
        "utf-8",
    )
    (tmp_path / "data").mkdir(mode=0o700)
    new_key_file(tmp_path / "data" / "omnibot.key")
    return path


@pytest.fixture
async def provider() -> AsyncIterator[DemoProvider]:
    async with DemoProvider() as provider:
        yield provider


async def used(path: Path, provider: DemoProvider) -> Path:
    """Let a bot with the same key and data link an account; return its database."""
    key = path.parent / "omnibot.key"
    key.write_bytes((path.parent / "data" / "omnibot.key").read_bytes())
    key.chmod(0o600)
    async with Bench.open(Plan(path.parent, provider=provider)) as bench:
        await bench.link()
    return path.parent / "data" / "omnibot.db"


async def lines(path: Path, **options: bool) -> list[str]:
    """What `omnibot check` prints."""
    return [str(one) for one in await examine(path, {}, **options)]


def become(path: Path, text: str) -> None:
    """Let the configuration be *text*."""
    path.write_text(text, "utf-8")


def add(path: Path, text: str) -> None:
    """Let the configuration have *text* at its end."""
    become(path, path.read_text("utf-8") + text)


def write(database: Path, sql: str) -> None:
    """Change a database behind the bot's back."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(sql)
        connection.commit()


def spoil(database: Path, *, pages: int) -> None:
    """Write over the first cell of so many pages that have one, as a failing disk may."""
    data = bytearray(database.read_bytes())
    full = [page for page in range(4096, len(data), 4096) if data[page] == 13 and data[page + 4]]
    for page in full[:pages]:
        data[page + 8] = 0xFF  # the cell now begins outside of its page
    database.write_bytes(data)


def test_a_finding_is_a_line() -> None:
    """Level, fault, cure."""
    shown = [str(Finding("good", "All is well.")), str(Finding("wrong", "It is not.", "Mend it."))]

    assert ["ok    All is well.", "WRONG It is not. Mend it."] == shown


# ------------------------------------------------------------------------ the whole


async def test_a_good_configuration_has_nothing_wrong(path: Path) -> None:
    """What was looked at is told as well: the file, the key, the database to come, the port."""
    said = await lines(path)

    key_id = Keyring.load(path.parent / "data" / "omnibot.key").ids[0]
    assert [
        f"ok    {path} is understood: networks console.",
        f"ok    The key file holds 1 key(s): {key_id}.",
        f"note  {path.parent}/data/omnibot.db is made at the first run.",
        f"ok    The listener can have 127.0.0.1:{load(path, {}).listen[1]}.",
    ] == said


async def test_every_mistake_of_the_file_is_found(path: Path) -> None:
    """Each with its line and its cure; nothing else is looked at then."""
    become(path, "prefx: '!'\nlisten: nowhere\n")
    said = await lines(path)

    assert 2 == len(said)
    assert {"WRONG"} == {line[:5] for line in said}
    assert any(line.startswith("WRONG config.yaml:1: prefx: ") for line in said)


async def test_a_literal_secret_is_noted(path: Path) -> None:
    """It works, and should not be there; it is not repeated."""
    add(path, "providers:\n  oidc: {client_id: x, client_secret: hunter2, issuer: 'https://login.example.org'}\n")
    notes = [line for line in await lines(path, offline=True) if line.startswith("note") and "client_secret" in line]

    assert 1 == len(notes)
    assert "hunter2" not in notes[0]
    assert ".." not in notes[0]


async def test_no_public_address_is_noted(path: Path) -> None:
    """With what that costs."""
    become(path, "skills: [ping]\n")

    assert [True] == [line.startswith("note") for line in await lines(path) if NO_PUBLIC_URL in line]


async def test_a_port_in_use_is_noted(path: Path, provider: DemoProvider) -> None:
    """It may well be the bot itself."""
    busy = provider.origin.removeprefix("http://")
    become(path, f"listen: {busy}\n")

    assert f"note  {busy} is in use. If that is not the bot itself, set `listen` to another port." in await lines(path)


# ------------------------------------------------------------------------- services


def with_demo(path: Path, issuer: str) -> None:
    """Let the demo service at *issuer* be configured."""
    add(path, f"providers:\n  demo: {{client_id: omnibot, issuer: '{issuer}'}}\n")


async def test_a_service_that_answers_is_good(path: Path, provider: DemoProvider) -> None:
    """The redirect address to register there is told to the letter."""
    with_demo(path, provider.origin)
    said = await lines(path)

    public = load(path, {}).public_url
    assert (
        f"note  demo@default: register this redirect URI there, to the letter: {public}/callback/demo/default" in said
    )
    assert f"ok    demo@default answers; people will authorise at {provider.origin}." in said


async def test_a_service_that_does_not_answer_is_wrong(path: Path, unused_tcp_port_factory: Callable[[], int]) -> None:
    """Unless nobody is asked."""
    with_demo(path, f"http://127.0.0.1:{unused_tcp_port_factory()}")
    wrong = [line for line in await lines(path) if line.startswith("WRONG")]
    offline = [line for line in await lines(path, offline=True) if "demo@default" in line]

    cure = "Check its address, and whether this machine reaches it."
    assert [f"WRONG demo@default: I could not reach 127.0.0.1. {cure}"] == wrong
    assert [] == offline


async def test_a_service_that_is_linked_by_key(path: Path, redmine: Redmine) -> None:
    """There is nothing to register; without a key it has to ask for one."""
    add(path, f"providers:\n  redmine: {{base: '{redmine.url}'}}\n")
    good = [line for line in await lines(path) if "redmine@default" in line]
    redmine.stop()
    down = [line for line in await lines(path) if "redmine@default" in line]

    cure = "Check its address, and whether this machine reaches it."
    assert ["ok    redmine@default answers; people link it by a key of their own."] == good
    assert [f"WRONG redmine@default: I could not reach 127.0.0.1. {cure}"] == down


async def test_a_service_that_is_asked_over_a_websocket(path: Path, homeassistant: HomeAssistant) -> None:
    """Without a token it has to send the bot away; nobody registers anything there."""
    add(path, f"providers:\n  homeassistant: {{base: '{homeassistant.url}'}}\n")
    good = [line for line in await lines(path) if "homeassistant@default" in line]

    where = f"people will authorise at {homeassistant.url}."
    assert [f"ok    homeassistant@default answers; {where}"] == good


async def test_an_api_that_is_switched_off_is_wrong(path: Path, redmine: Redmine) -> None:
    """Redmine then answers 403, to whatever key."""
    redmine.switch_api_off()
    add(path, f"providers:\n  redmine: {{base: '{redmine.url}'}}\n")
    (said,) = [line for line in await lines(path) if "redmine@default" in line]

    cure = "Check its address, and that its API is switched on."
    assert f"WRONG redmine@default answers 403 where it should ask for a key. {cure}" == said


async def test_a_service_of_the_catalogue_is_asked_at_its_api(path: Path, provider: DemoProvider) -> None:
    """Its description says where it is, and not whether it is there."""
    (path.parent / "own").mkdir()
    described = OLD.replace("/me", "/api/me").replace(", pkce: none", "")
    become(path.parent / "own" / "old.yaml", described)
    become(path.parent / "secret", "old-secret")
    add(path, "catalogue_dir: own\nproviders:\n  old:\n    client_id: x\n    client_secret: file:secret\n")
    add(path, "    instances:\n")
    add(path, f"      right: {provider.origin}\n      wrong: {provider.origin}/hub\n      down: http://127.0.0.1:1\n")
    said = {line.split()[1]: line for line in await lines(path) if "@" in line and "redirect URI" not in line}

    assert f"ok    old@right answers; people will authorise at {provider.origin}." == said["old@right"]
    assert said["old@wrong"].startswith("WRONG old@wrong answers 404 where it should ask for an authorisation.")
    assert said["old@down:"].startswith("WRONG old@down: I could not reach 127.0.0.1.")


@pytest.mark.parametrize("there", ["a file", "read-only"])
async def test_a_folder_that_cannot_be_written_to_is_wrong(
    path: Path, monkeypatch: pytest.MonkeyPatch, there: str
) -> None:
    """The bot would not start."""
    folder = path.parent / "there"
    if there == "a file":
        become(folder, "")
    else:
        folder.mkdir()
        monkeypatch.setattr("omnibot.doctor.os.access", lambda *_: False)  # the tests may run as root, who may all
    add(path, "data_dir: there/data\n")
    said = [line for line in await lines(path) if "data_dir" in line]

    what = "is no folder" if there == "a file" else "cannot be written to"
    cure = "Give the bot's user write permission, or name another folder."
    assert [f"WRONG data_dir: {folder} {what}. {cure}"] == said


async def test_an_address_that_asks_for_no_key_is_wrong(path: Path, provider: DemoProvider) -> None:
    """It is another service's, or its API is switched off."""
    add(path, f"providers:\n  redmine: {{base: '{provider.origin}'}}\n")
    (said,) = [line for line in await lines(path) if "redmine@default" in line]

    cure = "Check its address, and that its API is switched on."
    assert f"WRONG redmine@default answers 404 where it should ask for a key. {cure}" == said


async def test_a_service_that_is_closed_without_a_key_answers_all_the_same(path: Path) -> None:
    """Jenkins says 403 to nobody, and 401 to a wrong key: nothing is wrong there."""
    async with Jenkins("/ci") as jenkins:
        add(path, f"providers:\n  jenkins: {{base: '{jenkins.url}'}}\n")
        said = [line for line in await lines(path) if "jenkins@default" in line]

    assert ["ok    jenkins@default answers; people link it by a key of their own."] == said


async def test_a_skill_without_its_service_is_noted(path: Path) -> None:
    """It can do nothing; one that needs no service, or has it, is not mentioned."""
    become(path, "skills: [accounts, api, ping, aws, redmine]\nproviders:\n  redmine: {base: 'http://127.0.0.1:1'}\n")
    said = [line for line in await lines(path) if "skill " in line]

    what = "The skill aws has no service to act at: providers.aws is not configured."
    assert [f"note  {what} See: omnibot providers show aws"] == said


async def test_no_pkce_is_said_of_oauth_1_0a(path: Path) -> None:
    """It signs every request instead."""
    become(path.parent / "secret", "old-secret")
    add(path, "providers:\n  x: {consumer_key: x, consumer_secret: file:secret, base: 'http://127.0.0.1:1',\n")
    add(path, "    api: 'http://127.0.0.1:1'}\n")
    said = [line for line in await lines(path) if "x@default" in line]

    assert said
    assert [] == [line for line in said if "PKCE" in line]


async def test_a_service_without_pkce_is_noted(path: Path) -> None:
    """The operator chose it, and is told what it rests on."""
    (path.parent / "own").mkdir()
    become(path.parent / "own" / "old.yaml", OLD)
    add(path, "catalogue_dir: own\n")
    add(path, "providers:\n  old: {client_id: x, client_secret: file:secret, base: 'https://old.example.org'}\n")
    become(path.parent / "secret", "old-secret")
    said = await lines(path)

    assert [True] == [line.startswith("note") for line in said if "old@default has no PKCE." in line]


# ------------------------------------------------------------------------- networks

LOOKING = '''\
"""An adapter that can look how its network is."""

from pydantic import BaseModel

from omnibot.adapter import Finding


class Settings(BaseModel):
    hall: str


class Adapter:
    pass


async def check(tools, settings):
    {body}
'''


async def looked(path: Path, monkeypatch: pytest.MonkeyPatch, body: str, **options: bool) -> list[str]:
    """What is said of the network ``lobby`` by a check whose function is *body*."""
    name = f"looking_{len(sys.modules)}"
    (path.parent / name).mkdir()
    become(path.parent / name / "adapter.py", LOOKING.format(body=body))
    monkeypatch.syspath_prepend(path.parent)
    add(path, f"networks:\n  lobby: {{adapter: {name}.adapter, hall: main}}\n")
    return [line for line in await lines(path, **options) if "lobby:" in line]


async def test_an_adapter_is_asked_how_its_network_is(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its own settings; the network's name is put in front."""
    body = 'return [Finding("wrong", f"{settings.hall} is closed.", "Open it."), Finding("good", "It is there.")]'
    said = await looked(path, monkeypatch, body)

    assert ["WRONG lobby: main is closed. Open it.", "ok    lobby: It is there."] == said


async def test_offline_no_network_is_looked_at(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked then."""
    assert [] == await looked(path, monkeypatch, 'return [Finding("good", "It is there.")]', offline=True)


async def test_an_adapter_reads_what_it_kept(
    path: Path, provider: DemoProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own rows and secrets, also while the bot runs; nobody else's."""
    body = """found = [await one.get(key) for one in (tools.store, tools.secrets) for key in ("mine", "no")]
    return [Finding("good", str(found))]"""
    key = path.parent / "omnibot.key"
    key.write_bytes((path.parent / "data" / "omnibot.key").read_bytes())
    key.chmod(0o600)
    async with Bench.open(Plan(path.parent, provider=provider)) as bench:
        for network in ("lobby", "other"):
            await bench.core.tools(network).store.set("mine", f"plain of {network}".encode())
            await bench.core.tools(network).secrets.set("mine", f"secret of {network}".encode())
        said = await looked(path, monkeypatch, body)

    assert ["ok    lobby: [b'plain of lobby', None, b'secret of lobby', None]"] == said


@pytest.mark.parametrize("change", ['set("mine", b"x")', 'delete("mine")'])
async def test_an_adapter_that_looks_changes_nothing(
    path: Path, provider: DemoProvider, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """It is told so, and so is the operator."""
    await used(path, provider)
    said = await looked(path, monkeypatch, f"await tools.secrets.{change}")

    assert ["WRONG lobby: it could not be looked at (PermissionError)."] == said


async def test_before_the_first_start_nothing_is_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no database, and none is made."""
    said = await looked(path, monkeypatch, 'return [Finding("good", str(await tools.secrets.get("mine")))]')

    assert ["ok    lobby: None"] == said
    assert not (path.parent / "data" / "omnibot.db").exists()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise UserError('nobody is in')", "nobody is in"),
        ("raise ValueError('s3cret')", "ValueError"),
    ],
)
async def test_a_look_that_fails_hides_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch, body: str, said: str
) -> None:
    """What it says is told if it is for people; else only what kind of mistake it was."""
    found = await looked(path, monkeypatch, f"from omnibot.errors import UserError\n    {body}")

    assert [f"WRONG lobby: it could not be looked at ({said})."] == found


async def test_a_look_has_its_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that never answers does not hold up the rest."""
    monkeypatch.setattr(doctor, "_A_NETWORK", 0.01)
    found = await looked(path, monkeypatch, "import asyncio\n    await asyncio.Event().wait()")

    assert ["WRONG lobby: it could not be looked at in 0 seconds."] == found


# ----------------------------------------------------------------------------- keys


async def test_a_missing_key_is_wrong(path: Path) -> None:
    """With what it means, and the command that makes one."""
    (path.parent / "data" / "omnibot.key").unlink()

    assert (
        f"WRONG {path.parent}/data/omnibot.key: there is no key file. "
        "Until then no account can be linked or used. Put back the one you had; "
        "for a new bot make one: omnibot keys new"
    ) in await lines(path)


async def test_a_key_that_others_may_read_is_wrong(path: Path) -> None:
    """With the command that mends it."""
    key = path.parent / "data" / "omnibot.key"
    key.chmod(0o644)

    assert (
        f"WRONG {key}: others may read this file (mode 0644). "
        f"Until then no account can be linked or used. chmod 600 {key}"
    ) in await lines(path)


# ------------------------------------------------------------------------- database


async def test_a_sound_database_is_good(path: Path, provider: DemoProvider) -> None:
    """And so is every row of it."""
    database = await used(path, provider)
    said = await lines(path)

    assert f"ok    {database} is sound." in said
    assert [True] == [
        line.startswith("ok") for line in said if "rows can be read, and are as they were written" in line
    ]


async def test_without_a_key_only_the_file_is_looked_at(path: Path, provider: DemoProvider) -> None:
    """There is nothing to check the rows with."""
    database = await used(path, provider)
    (path.parent / "data" / "omnibot.key").unlink()
    said = await lines(path)

    assert f"ok    {database} is sound." in said
    assert not [line for line in said if "rows can be read" in line]


async def test_a_row_that_was_changed_is_wrong(path: Path, provider: DemoProvider) -> None:
    """It names table and row, and nothing of what is in it."""
    database = await used(path, provider)
    write(database, "UPDATE accounts SET status = 'held'")
    wrong = [line for line in await lines(path) if line.startswith("WRONG")]

    assert 1 == len(wrong)
    assert wrong[0].startswith("WRONG accounts row ")
    assert "restore the database from a backup" in wrong[0]


async def test_a_flood_of_wrong_rows_is_cut(
    path: Path, provider: DemoProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty lines are enough to see that it is the key."""
    await used(path, provider)
    bad = [f"row {number}" for number in range(100)]
    monkeypatch.setattr(doctor, "_verify", lambda *_: doctor._Seen(100, dict.fromkeys(bad)))

    found = await verify_rows(path.parent / "data", Keyring())
    assert 20 == len(found)


async def test_no_database_is_no_fault(tmp_path: Path) -> None:
    """Before the first run."""
    assert [Finding("good", "There is no database yet.")] == await verify_rows(tmp_path, Keyring())


async def test_an_older_database_is_noted(path: Path) -> None:
    """The next run mends it."""
    database = path.parent / "data" / "omnibot.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE old (a)")
        connection.commit()

    newest = migrations()[-1][0]
    assert f"note  {database} is of version 0; the next run brings it to {newest}." in await lines(path)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda database: database.write_bytes(b"no database at all " * 300), "is damaged (file is not a database)"),
        (partial(spoil, pages=1), "is damaged (*** in database main *** On tree page"),
        (partial(spoil, pages=99), "is damaged ("),
        (lambda database: (database.unlink(), database.mkdir()), "cannot be read ("),
    ],
    ids=["not one", "one page", "every page", "a folder"],
)
async def test_a_damaged_database_is_wrong(
    path: Path, provider: DemoProvider, damage: Callable[[Path], object], words: str
) -> None:
    """With SQLite's own word for it, in one line, and the only cure."""
    database = await used(path, provider)
    damage(database)
    wrong = [line for line in await lines(path) if line.startswith("WRONG")]

    assert 1 == len(wrong)
    assert wrong[0].startswith(f"WRONG {database} {words}")
    assert wrong[0].endswith("Restore it from a backup.")


async def test_rows_of_a_damaged_database_are_not_called_good(tmp_path: Path) -> None:
    """`keys verify` looks at the rows alone, and says what keeps it from that."""
    (tmp_path / "omnibot.db").write_bytes(b"no database at all " * 300)
    database = tmp_path / "omnibot.db"

    assert [
        Finding("wrong", f"{database} cannot be read (file is not a database).", "Restore it from a backup.")
    ] == await verify_rows(tmp_path, Keyring())
