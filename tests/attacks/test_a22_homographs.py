"""A22, an instance that looks like another.

Mallory names a server of hers that reads like one everybody trusts: with a letter of another alphabet, or
with the trusted name at its beginning. People type their key into it, and an admin who reads carelessly
allows it.

What must hold: a host is compared and shown in ASCII, everywhere; what looks alike is another host, which
needs an admin's word of its own; what is merely written otherwise is the same host.

What remains: an admin who allows what they have not read.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from linking.steps import told
from named_hosts import Anywhere, decided, flows_begun, planned, statuses
from omnibot.hosts import Hosts
from omnibot.testing.bench import ADA, GRACE, MALLORY, Bench

TRUSTED = "jenkins.corp.example"


@pytest.fixture
def service() -> Anywhere:
    """A service at every host."""
    return Anywhere()


@pytest.fixture
async def bench(tmp_path: Path, service: Anywhere) -> AsyncIterator[Bench]:
    """A bot whose admin has allowed one host."""
    async with Bench.open(planned(tmp_path, service)) as bench:
        await decided(bench, f"redmine@{TRUSTED}")
        yield bench


def by_looks(patch: pytest.MonkeyPatch) -> None:
    """Take a host for the one that it looks like, as a hasty reader would."""
    status = Hosts.status

    def alike(self: Hosts, provider: str, host: str) -> object:
        allowed = [one for one in self._known.values() if one.status == "allowed" and one.provider == provider]
        looks = host.startswith("xn--") or any(host.startswith(one.host) for one in allowed)
        return "allowed" if looks else status(self, provider, host)

    patch.setattr(Hosts, "status", alike)
    patch.setattr(Hosts, "admit", lambda self, *_: _nothing())


async def _nothing() -> None:
    """Ask nobody."""


LOOK_ALIKES = (
    ("jenk\u0456ns.corp.example", "xn--jenkns-svf.corp.example"),  # Cyrillic
    ("j\u0435nkins.corp.example", "xn--jnkins-3of.corp.example"),
    ("jenkins.c\u03bfrp.example", "jenkins.xn--crp-9yc.example"),  # Greek
    ("jenkins.corp.example.evil", "jenkins.corp.example.evil"),
    ("jenkins.corp.exampl\u0435", "jenkins.corp.xn--exampl-8of"),
)


@pytest.mark.attack("A22", sabotage=by_looks)
@pytest.mark.parametrize(("name", "shown"), LOOK_ALIKES)
async def test_a_look_alike_is_another_host(bench: Bench, service: Anywhere, name: str, shown: str) -> None:
    """It needs an admin, who is shown what it is; so is whoever asks for it."""
    said = await bench.say(f"!link redmine@{name} key-of-ada", MALLORY)
    heard = "\n".join(told(bench, GRACE))

    assert "asked" == statuses(bench.core.hosts).get(f"redmine@{shown}")
    assert (0, []) == (await flows_begun(bench), service.asked)
    assert f"`{shown}`" in "\n".join(said)
    assert f"omnibot instances allow redmine@{shown}" in heard
    assert name.isascii() or f"`{shown}`, which reads `{name}`" in heard
    assert [] == [one for one in (heard, *said) if not one.isascii() and "which reads" not in one]


def to_the_letter(patch: pytest.MonkeyPatch) -> None:
    """Compare hosts as they were typed."""
    patch.setattr("omnibot.catalogue.ascii_host", lambda said: said)


@pytest.mark.attack("A22", sabotage=to_the_letter)
@pytest.mark.parametrize(
    "name",
    [
        "\uff2aenkins.CORP.example",
        "\uff4aenkins.corp.example",
        "jenkins\u3002corp.example",
        "jen\u200bkins.corp.example.",
    ],
)
async def test_another_spelling_is_the_same_host(bench: Bench, service: Anywhere, name: str) -> None:
    """Full width, capitals, another full stop, something invisible: it is where it always was, and shown so."""
    said = await bench.say(f"!link redmine@{name} key-of-ada")
    listed = await bench.say("!accounts")

    assert [f"{TRUSTED}/users/current.json"] == service.asked
    assert said[0].startswith(f"Linked Redmine ({TRUSTED}) as **ada**.")
    assert f"`redmine@{TRUSTED}`" in listed[0]
    assert {f"redmine@{TRUSTED}": "allowed"} == statuses(bench.core.hosts)


def shown_as_read(patch: pytest.MonkeyPatch) -> None:
    """Show hosts in their own letters."""
    from omnibot.hostname import readable
    from omnibot.provider import Instance

    title = property(lambda self: f"Redmine ({readable(self.name) or self.name})")
    patch.setattr(Instance, "title", title)


@pytest.mark.attack("A22", sabotage=shown_as_read)
async def test_an_allowed_one_is_still_shown_in_ascii(bench: Bench) -> None:
    """In every word about it."""
    name, shown = LOOK_ALIKES[0]
    await bench.say(f"!link redmine@{name}")
    await decided(bench, name)
    await bench.say(f"!link redmine@{name} key-of-ada")
    await bench.say("!accounts")
    await bench.say(f"!unlink redmine@{name}")
    heard = told(bench, ADA)

    assert [] == [one for one in heard if not one.isascii()]
    assert 4 < sum(shown in one for one in heard)
