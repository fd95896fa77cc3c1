"""`omnibot check` finds what is wrong, says why it matters, and how to mend it."""

from pathlib import Path

from doctoring import add, become, lines
from omnibot.adapter import Finding
from omnibot.config import load
from omnibot.vault import Keyring


def test_a_finding_is_a_line() -> None:
    """Level, fault, cure."""
    shown = [str(Finding("good", "All is well.")), str(Finding("wrong", "It is not.", "Mend it."))]

    assert ["ok    All is well.", "WRONG It is not. Mend it."] == shown


async def test_a_good_configuration_has_nothing_wrong(path: Path) -> None:
    """What was looked at is told as well: the file, the key, the database to come, the port."""
    said = await lines(path)

    key_id = Keyring.load(path.parent / "data" / "omnibot.key").ids[0]
    assert [
        f"ok    {path} is understood: networks console.",
        "ok    The address guard holds: 15 forbidden addresses were refused.",
        f"ok    The key file holds 1 key(s): {key_id}.",
        f"note  {path.parent}/data/omnibot.db is made at the first run.",
        f"ok    The listener can have 127.0.0.1:{load(path, {}).listen[1]}.",
        f"ok    {load(path, {}).public_url} comes to this bot.",
    ] == [line for line in said if "The key lies beside" not in line and "MB are free" not in line]


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


async def test_a_skill_without_its_service_is_noted(path: Path) -> None:
    """It can do nothing; one that needs no service, or has it, is not mentioned."""
    become(path, "skills: [accounts, api, ping, aws, redmine]\nproviders:\n  redmine: {base: 'http://127.0.0.1:1'}\n")
    said = [line for line in await lines(path) if "skill " in line]

    what = "The skill aws has no service to act at: providers.aws is not configured."
    assert [f"note  {what} See: omnibot providers show aws"] == said
