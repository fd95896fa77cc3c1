"""Prometheus can read what the bot counts, and learns nothing of anybody."""

import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from omnibot.config import load
from omnibot.demo.provider import DemoProvider
from omnibot.doctor import outside
from omnibot.errors import ConfigError, StorageTrouble
from omnibot.identity import Identity
from omnibot.metrics import Metrics
from omnibot.testing import Bench, Plan

PAGE = Path(__file__).parents[1] / "docs" / "operating.md"
CANARY = "canary4711"


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A bot with a service to link."""
    async with DemoProvider() as provider, Bench.open(Plan(tmp_path, provider=provider)) as opened:
        yield opened


@asynccontextmanager
async def shown(bench: Bench) -> AsyncIterator[str]:
    """Give the address at which the metrics of *bench* are."""
    metrics = Metrics(bench.core)
    port = await metrics.start("127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await metrics.stop()


async def scraped(address: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"{address}/metrics") as answer:
        assert 200 == answer.status
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return await answer.text()


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(text)
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples}


async def test_a_scrape_tells_what_was_counted(bench: Bench) -> None:
    """Over HTTP, read by Prometheus's own parser."""
    async with shown(bench) as address:
        await bench.link()
        await bench.say("!notes")
        await bench.settle()
        found = samples(await scraped(address))
    labels = (("command", "notes"), ("outcome", "done"), ("skill", "notes"))
    assert found["omnibot_commands_total", labels] >= 1
    series = [value for (name, _), value in found.items() if name == "omnibot_command_seconds_count"]
    commands = [value for (name, _), value in found.items() if name == "omnibot_commands_total"]
    assert sum(series) == sum(commands)
    assert 1 == found["omnibot_network_ready", (("network", "fake"),)]
    assert 1 == found["omnibot_vault_open", ()] == found["omnibot_database_readable", ()]
    assert found["omnibot_database_bytes", ()] > 0


async def test_nobody_is_in_it(bench: Bench) -> None:
    """No person, room, account or text, though every one of them was there."""
    speaker = Identity("fake", f"{CANARY}-subject", f"{CANARY}-epoch", f"{CANARY}-name")
    room = bench.network.room(f"{CANARY}-room", speaker)
    async with shown(bench) as address:
        await bench.say(f"!ping {CANARY}-text", speaker, room)
        await bench.say(f"!{CANARY}-command", speaker, room)
        await bench.say("!notes", speaker, room)
        await bench.link()
        await bench.settle()
        text = await scraped(address)
    assert "omnibot_commands_total{" in text
    assert CANARY not in text
    assert not re.search(r"https?://", text)


async def test_every_family_is_documented(bench: Bench) -> None:
    """The operator's page names all there are, with their labels, and no other."""
    async with shown(bench) as address:
        tally, text = bench.core.tally, await scraped(address)
    labels = {f"{one.name}_total": one.labels for one in tally.counters}
    labels |= {one.name: one.labels for one in tally.histograms}
    kinds = re.findall(r"^# TYPE (omnibot_\w+) (\w+)$", text, re.MULTILINE)
    rows = re.findall(r"^\| `(omnibot_\w+)`([^|]*) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert sorted(name for name, _ in kinds) == sorted(name for name, _ in rows)
    documented = {name: tuple(re.findall(r"`(\w+)`", said)) for name, said in rows}
    assert labels == {name: documented[name] for name in labels}


@pytest.mark.parametrize(("method", "path", "status"), [
    ("HEAD", "/metrics", 200),
    ("POST", "/metrics", 405),
    ("GET", "/", 404),
    ("GET", "/healthz", 404),
])  # fmt: skip
async def test_nothing_else_is_there(bench: Bench, method: str, path: str, status: int) -> None:
    async with shown(bench) as address, aiohttp.ClientSession() as session:
        answer = await session.request(method, f"{address}{path}")
        assert status == answer.status


async def test_a_database_that_cannot_be_read_is_told_of(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def read(*_: object) -> list[dict[str, object]]:
        raise StorageTrouble("failing", "here")

    monkeypatch.setattr(bench.core.database, "read", read)
    found = samples((await Metrics(bench.core).text()).decode())
    monkeypatch.undo()
    assert 0 == found["omnibot_database_readable", ()]
    assert ("omnibot_follows", ()) not in found


async def test_a_port_that_is_taken_is_told_by_its_key(bench: Bench) -> None:
    async with shown(bench) as address:
        with pytest.raises(ConfigError) as raised:
            await Metrics(bench.core).start("127.0.0.1", int(address.rpartition(":")[2]))
    (problem,) = raised.value.problems
    assert "metrics.listen" == problem.key
    assert "is in use by another program" in problem.what


async def test_others_who_can_get_there_are_mentioned(tmp_path: Path) -> None:
    """By `omnibot check`, as there is no login; and without the key nothing is shown at all."""
    path, found = tmp_path / "config.yaml", []
    for text in (
        "",
        "metrics: {listen: 127.0.0.1:9464}",
        'metrics: {listen: "[::1]:9464"}',
        "metrics: {listen: 0.0.0.0:9464}",
    ):
        path.write_text(f"prefix: '!'\n{text}\n", "utf-8")
        found.append([(one.level, one.what) for one in outside.metrics(load(path, {}))])
    assert [[], [], [], [("note", "metrics.listen: 0.0.0.0:9464 can be reached from other machines.")]] == found


def test_prometheus_is_imported_only_where_metrics_are_on() -> None:
    code = "import sys, omnibot.app, omnibot.core, omnibot.dispatcher; sys.exit('prometheus_client' in sys.modules)"
    assert 0 == subprocess.run([sys.executable, "-c", code], check=False).returncode  # noqa: S603 - our own words
