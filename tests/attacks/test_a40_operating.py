"""A40, secrets where the operator looks: each operation of the control socket, the audit's export, a backup, `check`.

Linking and acting are looked at in `test_a40_canaries.py` and `test_a40_secrets_in_the_open.py`; here is what the
operator, or whoever stands behind them, gets to see of a bot in the midst of it: with accounts, a link under way, a
parked command, a token to be handed back, and a service that gives its token back as the reference of an error.

What must hold: no operation tells a token, code, ticket or key, whichever it is; nor does what `omnibot audit export`
writes, nor a backup; nor does `omnibot check` repeat a secret of the configuration, right or wrong.

What remains: the operator can read the key file, and so everything (docs/security.md).
"""

import inspect
import json
import logging
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attacks.canaries import Echoing, found
from attacks.test_a39_backup_canaries import found as found_in_files
from attacks.test_a39_backup_canaries import sealed_with_nothing
from attacks.test_a40_canaries import repeating
from omnibot import administration, yamlfile
from omnibot.adapter import Finding
from omnibot.administration import Admin
from omnibot.demo.browser import Browser
from omnibot.doctor import examine
from omnibot.testing.bench import ADA, GRACE, MALLORY, Bench, Plan
from omnibot.vault import new_key_file

OPERATIONS = administration._OPERATIONS


@pytest.fixture
async def provider() -> AsyncIterator[Echoing]:
    """A service that repeats what it was sent."""
    async with Echoing() as provider:
        yield provider


@pytest.fixture
def plan(plan: Plan) -> Plan:
    """A bot with one who may administer it."""
    return replace(plan, admins=(str(GRACE),))


async def lived_in(bench: Bench, provider: Echoing) -> set[str]:
    """Let people link, act, fail and leave; return all secrets that passed."""
    await bench.link()
    for echo in ("reference", "headers", "broken"):
        provider.echo, provider.echo_path = echo, "/api"
        await bench.say("!notes")
        await bench.say("!api demo GET /api/me")
    provider.echo = ""
    codes = set()
    async with Browser() as browser:  # a half-made link, with a parked command
        await bench.say("!notes add tea", MALLORY)
        link = bench.link_for(MALLORY)
        await bench.authorise(browser, link, "victim")
        codes |= {browser.code, browser.code.replace("-", "")}
    await bench.say("!link demo", GRACE)
    tickets = {one.rpartition("/")[2] for one in (link, bench.link_for(GRACE))}
    provider.fail("/revoke", status=503, times=None)
    await bench.say("!unlink demo", ADA)
    return provider.secrets | tickets | codes


async def told(bench: Bench, key_file: Path) -> dict[str, str]:
    """Return what each operation that wants nothing said or gave, and what the command line would print of it."""
    answers: dict[str, str] = {}
    for name, operation in OPERATIONS.items():
        wanted = list(inspect.signature(operation).parameters.values())[2:]
        args: dict[str, Any] = {one.name: "demo" for one in wanted if one.default is inspect.Parameter.empty}
        args |= {"file": str(key_file.parent / "made.tar"), "keep": 0} if name == "backup" else {}
        said: list[Any] = []
        try:
            answer: Any = await Admin(bench.core, key_file, running=True).perform(name, args, said.append)
        except Exception as error:  # noqa: BLE001 - what is refused is shown as well
            answer = f"{error!r} {error.__cause__!r} {error}"
        answers[name] = json.dumps([said, answer], default=repr)
    return answers


@pytest.mark.attack("A40", sabotage=repeating)
async def test_no_operation_tells_a_secret(bench: Bench, plan: Plan, provider: Echoing) -> None:
    """The operations are those there are: a new one is looked at as well."""
    secrets = await lived_in(bench, provider)
    answers = await told(bench, plan.directory / "omnibot.key")

    assert len(secrets) > 8
    assert {name: [] for name in answers} == {name: found(secrets, said) for name, said in answers.items()}
    assert "upstream" in answers["audit export"], "the record has references, and they are no tokens"


@pytest.mark.attack("A40", sabotage=sealed_with_nothing)
async def test_nor_does_a_backup(bench: Bench, plan: Plan, provider: Echoing) -> None:
    """Made in the midst of it."""
    secrets = await lived_in(bench, provider)
    file = plan.directory / "made.tar"
    await Admin(bench.core, plan.directory / "omnibot.key", running=True).perform(
        "backup", {"file": str(file), "keep": 0}, lambda _: None
    )

    assert [] == found_in_files({"backup": file.read_bytes()}, secrets)


CANARY = "hunter2-canary-of-the-operator"

WRITTEN = f"""
providers:
  oidc: {{client_id: x, client_secret: {CANARY}-1, issuer: 'https://login.invalid'}}
  x: {{consumer_key: x, consumer_secret: {CANARY}-2, base: 'http://127.0.0.1:1'}}
networks:
  home:
    adapter: irc
    host: 127.0.0.1
    port: 1
    tls: false
    allow_plain: true
    nick: bot
    sasl: {{username: bot, password: {CANARY}-3}}
  chat: {{adapter: discord, token: {CANARY}-4}}
  room: {{adapter: matrix, homeserver: 'http://127.0.0.1:1', user: '@bot:hs.test', password: {CANARY}-5}}
"""
MISTAKEN = f"""
providers:
  oidc: {{client_id: x, client_secret: !{CANARY}-1, issuer: 'https://login.invalid'}}
"""
"""Not quoted, so that YAML takes it for the name of a type."""


@pytest.mark.attack("A40", sabotage=lambda patch: patch.setattr(yamlfile, "_QUOTED", re.compile("(?!)()")))
async def test_nor_does_check_of_a_mistaken_file(tmp_path: Path, unused_tcp_port: int) -> None:
    """Where the parser itself quotes what it does not understand."""
    findings = await check(tmp_path, unused_tcp_port, MISTAKEN)

    assert ["wrong"] == [one.level for one in findings]
    assert CANARY not in "\n".join([*map(repr, findings), *map(str, findings)])


@pytest.mark.attack("A40")
async def test_nor_does_check(tmp_path: Path, unused_tcp_port: int, caplog: pytest.LogCaptureFixture) -> None:
    """Of a configuration with its secrets in it: it asks each network and service with them."""
    caplog.set_level(logging.DEBUG)
    findings = await check(tmp_path, unused_tcp_port, WRITTEN)

    assert 5 == sum("literal secret" in one.what for one in findings)
    assert CANARY not in "\n".join([*map(repr, findings), *map(str, findings), caplog.text])


async def check(tmp_path: Path, port: int, written: str) -> list[Finding]:
    """Return what `omnibot check` finds of a configuration that has *written* in it."""
    path = tmp_path / "config.yaml"
    listen = f"listen: 127.0.0.1:{port}\npublic_url: http://127.0.0.1:{port}\n"
    path.write_text(f"{listen}{written}", "utf-8")
    (tmp_path / "data").mkdir(mode=0o700)
    new_key_file(tmp_path / "data" / "omnibot.key")
    return await examine(path, {})
