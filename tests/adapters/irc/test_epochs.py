"""What services say of an account is read, remembered, and not believed from anybody else."""

import asyncio
import json
import logging
from collections.abc import Sequence

import pytest

from adapters.irc import epochs
from adapters.irc.effects import Heard
from adapters.irc.epochs import Answer, Epoch, Services, unix
from omnibot.errors import KeyMissing
from omnibot.testing.fakes import FakeStore

ATHEME = ("Information on \x02ada\x02 (account \x02ada\x02):", "Registered : Nov 22 11:15:48 2026 +0000 (0s ago)")
END = "*** End of Info ***"
WHEN = "1795346148"


def notice(text: str, *, nick: str = "NickServ", host: str = "services.test") -> Heard:
    return Heard(nick, host, None, text, None, 0.0, "", "notice", is_echo=False, is_bot=False, batch="")


class Asked:
    """Services that are there, and what they were asked."""

    def __init__(self, rows: FakeStore, *answers: Sequence[str], service: str = "NickServ") -> None:
        self.questions: list[str] = []
        self.host = "services.test"
        self.answers = list(answers)
        self.now = 1_800_000_000.0
        self.services = Services(service, rows, logging.getLogger("omnibot.tests.irc"), lambda: self.now)
        self.services.connected(self._say, str.lower)

    def _say(self, nick: str, text: str) -> asyncio.Future[None]:
        self.questions.append(f"{nick} {text}")
        loop = asyncio.get_running_loop()
        sent = loop.create_future()
        sent.set_result(None)
        for line in self.answers.pop(0) if self.answers else ():
            loop.call_soon(self.services.heard, notice(line, host=self.host))
        return sent


@pytest.fixture
def rows() -> FakeStore:
    """What is remembered."""
    return FakeStore()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Services have little time for an answer."""
    monkeypatch.setattr(epochs, "ANSWER_WITHIN", 0.1)


@pytest.mark.parametrize(
    "date",
    [
        "Nov 22 11:15:48 2026 +0000 (0s ago)",
        "Nov 22 11:15:48 2026 (0s ago)",
        "Nov 22 12:15:48 2026 +0100 (1y 2w ago)",
        "Nov 22 06:15:48 2026 -0500",
        "Nov 22 11:15:48 2026 UTC (12 years ago)",
        "Sun, 22 Nov 2026 11:15:48 UTC",
    ],
)
def test_one_time_however_it_is_written(date: str) -> None:
    """Atheme new and old, Anope, Ergo."""
    assert WHEN == unix(date)


@pytest.mark.parametrize(
    "date", ["", "yesterday", "Foo 22 11:15:48 2026", "Nov 31 11:15:48 2026", "Nov 22 99:15:48 2026"]
)
def test_no_time(date: str) -> None:
    """What is no date is none, and nothing breaks."""
    assert "" == unix(date)


@pytest.mark.parametrize(
    ("lines", "when"),
    [
        pytest.param([*ATHEME, END], WHEN, id="atheme"),
        pytest.param(["Information on ada:", ATHEME[1], END], WHEN, id="atheme without nicks"),
        pytest.param(
            [*ATHEME, "User reg.  : Nov 22 11:15:40 2026 +0000 (8s ago)"], "1795346140", id="atheme, older account"
        ),
        pytest.param(["ada is Ada", "  Registered: Nov 22 11:15:48 2026 UTC (1 day ago)"], WHEN, id="anope 2.0"),
        pytest.param(["ada is Ada", "Account registered: Nov 22 11:15:48 2026 UTC"], WHEN, id="anope 2.1"),
        pytest.param(["Account: ada", "Registered at: Sun, 22 Nov 2026 11:15:48 UTC"], WHEN, id="ergo"),
        pytest.param(["Information on eve (account eve):", ATHEME[1], END], "", id="an answer that comes late"),
        pytest.param(["Information on ada (account eve):", ATHEME[1], END], "", id="a nick of another account"),
        pytest.param(
            [ATHEME[0], "Metadata   : Registered : Nov 22 11:15:48 2026 +0000", END], "", id="their own words"
        ),
        pytest.param(["ada is Registered : Nov 22 11:15:48 2026"], "", id="a real name"),
    ],
)
def test_answers(lines: list[str], when: str) -> None:
    """Each kind of services is read, and what people put into their own answers is not."""
    answer = Answer("ada", str.lower)
    for line in lines:
        answer.take(line.replace("\x02", ""))

    assert when == answer.when


async def test_it_is_asked_and_remembered(rows: FakeStore) -> None:
    """One question, one answer; what it says is kept without the account's name."""
    asked = Asked(rows, [*ATHEME, END])

    assert Epoch(WHEN, fresh=True) == await asked.services.registered("ada", anew=True)
    assert ["NickServ INFO ada"] == asked.questions
    assert WHEN.encode() in rows.rows["epochs"]
    assert not [row for row in rows.rows.items() if "ada" in str(row)]


async def test_many_ask_once(rows: FakeStore) -> None:
    """Who asks while the question is under way shares its answer."""
    asked = Asked(rows, [*ATHEME, END])
    found = await asyncio.gather(*(asked.services.registered("ada", anew=False) for _ in range(5)))

    assert {Epoch(WHEN, fresh=True)} == set(found)
    assert 1 == len(asked.questions)


async def test_memory_helps_out(rows: FakeStore) -> None:
    """Services that are away are not asked at each word, and whoever was known is; but nobody who just logged in."""
    asked = Asked(rows, [*ATHEME, END])
    await asked.services.registered("ada", anew=False)

    assert Epoch(WHEN, fresh=False) == await asked.services.registered("ada", anew=False)
    assert await asked.services.registered("ada", anew=True) is None
    assert await asked.services.registered("eve", anew=False) is None
    assert 2 == len(asked.questions)


async def test_memory_has_an_end(rows: FakeStore) -> None:
    """Who has not been asked about for thirty days is forgotten, and whoever was is not."""
    eve = ["Information on eve (account eve):", ATHEME[1], END]
    asked = Asked(rows, [*ATHEME, END], eve, [*ATHEME, END])
    await asked.services.registered("ada", anew=False)
    await asked.services.registered("eve", anew=False)
    asked.now += epochs.KEPT - 1
    await asked.services.registered("ada", anew=False)
    asked.now += 2

    assert Epoch(WHEN, fresh=False) == await asked.services.registered("ada", anew=False)
    assert await asked.services.registered("eve", anew=False) is None


async def test_memory_is_not_without_bounds(rows: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one who was told of the longest ago goes first; who is told of again is written once a day."""
    monkeypatch.setattr(epochs, "_MOST_KEPT", 2)
    answers = [[f"Information on {one} (account {one}):", ATHEME[1], END] for one in ("ada", "bob", "ada", "eve")]
    asked = Asked(rows, *answers)
    for account in ("ada", "bob"):
        await asked.services.registered(account, anew=False)
    before = rows.rows["epochs"]
    asked.now += 60
    await asked.services.registered("ada", anew=False)
    unwritten = before == rows.rows["epochs"]
    asked.now += 86400
    await asked.services.registered("eve", anew=False)

    assert unwritten
    assert 2 == len(json.loads(rows.rows["epochs"]))
    assert await asked.services.registered("ada", anew=False) is None
    assert Epoch(WHEN, fresh=False) == await asked.services.registered("bob", anew=False)


async def test_a_nick_that_nobody_has(rows: FakeStore) -> None:
    """The network's word that services are gone is as good as a time-out, and sooner."""
    asked = Asked(rows)
    asking = asyncio.create_task(asked.services.registered("ada", anew=False))
    await asyncio.sleep(0.01)
    asked.services.not_taken("nickserv")

    assert await asking is None


async def test_services_that_do_not_tell(rows: FakeStore, caplog: pytest.LogCaptureFixture) -> None:
    """There is no epoch then, and the log says so once."""
    asked = Asked(rows, [ATHEME[0], END], ["Information on eve (account eve):", END])

    assert Epoch("", fresh=True) == await asked.services.registered("ada", anew=False)
    assert Epoch("", fresh=True) == await asked.services.registered("eve", anew=False)
    assert 1 == len(caplog.records)


async def test_services_that_told_before(rows: FakeStore) -> None:
    """Where they tell of others, somebody of whom they do not is a guest, and not somebody without an epoch."""
    asked = Asked(rows, [*ATHEME, END], ["eve is not registered."], ["ada is not registered."])
    await asked.services.registered("ada", anew=False)

    assert await asked.services.registered("eve", anew=False) is None
    assert await asked.services.registered("ada", anew=False) is None


async def test_somebody_else_of_that_name_is_not_believed(rows: FakeStore, caplog: pytest.LogCaptureFixture) -> None:
    """Only the host that told first does; a restart changes nothing in that."""
    await Asked(rows, [*ATHEME, END]).services.registered("ada", anew=False)
    later = Asked(rows, [ATHEME[0].replace("ada", "eve"), ATHEME[1], END])
    later.host = "evil.example"

    assert await later.services.registered("eve", anew=False) is None
    assert "is not the one that answered before" in caplog.text


async def test_the_operator_names_the_host(rows: FakeStore) -> None:
    """Then no other counts, from the first answer on."""
    evil = Asked(rows, [*ATHEME, END], service="NickServ@services.test")
    evil.host = "evil.example"
    good = Asked(rows, [*ATHEME, END], service="NickServ@services.test")

    assert await evil.services.registered("ada", anew=False) is None
    assert Epoch(WHEN, fresh=True) == await good.services.registered("ada", anew=False)


async def test_an_account_that_is_no_word(rows: FakeStore) -> None:
    """Nothing is asked about it."""
    asked = Asked(rows)

    assert await asked.services.registered("ada DROP", anew=False) is None
    assert [] == asked.questions


async def test_a_connection_that_is_lost(rows: FakeStore) -> None:
    """Whoever waits goes on without an answer."""
    asked = Asked(rows)
    asking = asyncio.create_task(asked.services.registered("ada", anew=False))
    await asyncio.sleep(0.01)
    asked.services.lost()

    assert await asking is None


async def test_without_the_key(rows: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be kept is not, and what was said counts all the same."""

    async def missing(*_: object) -> None:
        raise KeyMissing("no key")

    monkeypatch.setattr(rows, "get", missing)
    asked = Asked(rows, [*ATHEME, END])

    assert Epoch(WHEN, fresh=True) == await asked.services.registered("ada", anew=False)
