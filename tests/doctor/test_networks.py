"""What `omnibot check` says of networks: each adapter looks at its own, and changes nothing."""

import sys
from pathlib import Path

import pytest

from doctoring import add, become, lines, used
from omnibot.demo.provider import DemoProvider
from omnibot.doctor import networks
from omnibot.testing.bench import Bench, Plan

NOT_KNOWN = " Nothing is known of it, and the bot may fare no better."

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

    assert [f"WRONG lobby: it could not be looked at (PermissionError).{NOT_KNOWN}"] == said


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

    assert [f"WRONG lobby: it could not be looked at ({said}).{NOT_KNOWN}"] == found


async def test_a_look_has_its_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that never answers does not hold up the rest."""
    monkeypatch.setattr(networks, "_SECONDS", 0.01)
    found = await looked(path, monkeypatch, "import asyncio\n    await asyncio.Event().wait()")

    assert [f"WRONG lobby: it could not be looked at in 0 seconds.{NOT_KNOWN}"] == found
