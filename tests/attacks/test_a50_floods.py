"""A50: floods: of links, of connections, of bytes.

Chat networks and listener share one loop, so whoever keeps one busy might silence the other.

What must hold: what one speaker can begin is bounded, and so is what all the speakers of one network can; a flood
of links of few pushes out their own, and a newcomer always gets one.  The listener holds so many connections and no
more, and reads so much of a body and no more.  Meanwhile a word on any network is answered within a few turns of
the loop, and the flood of one network changes nothing on another.

What remains: while somebody holds all the connections that the listener takes, no other browser gets in, for fifteen
seconds at a time; a reverse proxy in front is the place to tell visitors apart.  Whoever has hundreds of identities
on a network can push links out that nobody has opened yet; their askers are told.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from attacks.helpers import FORM, ends
from by_key import keyed, link_by_key
from omnibot import edge, limits
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.identity import Guest, Identity
from omnibot.linking import beginning
from omnibot.linking.beginning import Beginning
from omnibot.linking.flows import FLOW_SECONDS
from omnibot.testing.bench import ADA, MALLORY, Bench, Clock, Plan
from omnibot.testing.fakes import FORMLESS, FakeAdapter

FEW_TURNS = 100
"""A pong needs about ten turns of the loop, however much each turn has to do."""

CROWD = [Identity("fake", f"m-{number}", "", f"M{number}") for number in range(30)]
ELSEWHERE = Identity("other", "u-1", "", "Ada")


@pytest.fixture
def plan(tmp_path: Path, provider: DemoProvider) -> Plan:
    return keyed(Plan(tmp_path, provider=provider), provider)


@pytest.fixture
async def bench(plan: Plan) -> AsyncIterator[Bench]:
    """A bot on two networks."""
    clock = Clock()
    networks = tuple(FakeAdapter(name, capabilities=FORMLESS, clock=clock) for name in ("fake", "other"))
    async with Bench.open(replace(plan, networks=networks), clock) as bench:
        yield bench


async def turns_to_pong(bench: Bench, speaker: Identity) -> int:
    """Return how many turns of the loop it takes until *speaker*'s ``!ping`` is answered; many, if it is not."""
    adapter = next(one for one in bench.networks if one.network == speaker.network)
    before = len(adapter.private_texts(speaker))
    await adapter.hear("!ping", speaker)
    for turn in range(10 * FEW_TURNS):
        if "pong" in adapter.private_texts(speaker)[before:]:
            return turn
        await asyncio.sleep(0)
    return 10 * FEW_TURNS


async def live(bench: Bench, network: str = "fake") -> int:
    sql = "SELECT count(*) AS n FROM flows WHERE network = ? AND state IN ('open', 'exchanging', 'pending')"
    found = (await bench.rows(sql, network))[0]["n"]
    assert isinstance(found, int)
    return found


# ------------------------------------------------------------------------------------------ links


async def at_any_pace(*_: object) -> None:
    """Let everybody begin as many links as they like."""


@pytest.mark.attack("A50", sabotage=lambda patch: patch.setattr(Beginning, "_check_pace", at_any_pace))
async def test_ten_thousand_wishes_for_a_link_make_a_few(bench: Bench) -> None:
    """Of ten speakers: twenty each in ten minutes, one of them live; all the while the others are answered."""
    turns: list[int] = []
    for round_ in range(20):
        for speaker in CROWD[:10]:
            for _ in range(50):
                await bench.network.hear("!link keys", speaker)
        if round_ % 5 == 0:
            turns += [await turns_to_pong(bench, ADA), await turns_to_pong(bench, ELSEWHERE)]
        await bench.settle()
    begun = await bench.rows("SELECT subject, count(*) AS n FROM flows GROUP BY subject")

    assert [20] * 10 == [row["n"] for row in begun]
    assert 10 == await live(bench)
    assert [] == [one for one in turns if one > FEW_TURNS]


@pytest.mark.attack("A50", sabotage=lambda patch: patch.setattr("omnibot.runner.MOST_WAITING", 10_000))
async def test_what_one_speaker_has_waiting_is_bounded(bench: Bench) -> None:
    """Of a thousand at once twenty are done; it is said once that these are too many."""
    for _ in range(1000):
        await bench.network.hear("!link keys", MALLORY)
    await bench.settle()
    said = bench.network.private_texts(MALLORY)

    assert len(said) < 30
    assert 1 == len([text for text in said if "You have many commands waiting" in text])


async def endless_room(*_: object) -> list[object]:
    """Let a network have as many links under way as it likes."""
    return []


@pytest.mark.attack("A50", sabotage=lambda patch: patch.setattr(Beginning, "_make_room", endless_room))
async def test_all_of_a_network_together_are_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many speakers: at the bound one that nobody has opened gives way, and its asker is told."""
    monkeypatch.setattr(beginning, "_MOST_ON_A_NETWORK", 20)
    for speaker in CROWD:
        await bench.say("!jot", speaker)
    first = bench.network.private_texts(CROWD[0])

    assert 20 == await live(bench)
    assert [("refused", "crowded")] * 10 == [one for one in await ends(bench) if one[0] == "refused"]
    assert "which nobody had opened, gave way. Ask for a new one. `!jot` was not run." in first[-1].replace("\\", "")


@pytest.mark.attack("A50")
async def test_a_full_network_keeps_nobody_out(
    bench: Bench, provider: DemoProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes then is linked as ever, there and on the other network."""
    monkeypatch.setattr(beginning, "_MOST_ON_A_NETWORK", 20)
    for speaker in CROWD:
        await bench.say("!link keys", speaker)
    said = [
        await link_by_key(bench, provider.key_for("ada")),
        await link_by_key(bench, provider.key_for("grace"), ELSEWHERE),
        await bench.say(f"!link keys {provider.key_for('eve')}", CROWD[29]),
    ]

    assert ["Linked"] * 3 == [one[0].partition(" ")[0] for one in said]


@pytest.mark.attack("A50", sabotage=lambda patch: patch.setattr("omnibot.linking.flows._LEAST_MISSED", FIRST_COME))
async def test_a_flood_of_few_pushes_out_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ada's link, older than all of Mallory's, is there when she opens it."""
    monkeypatch.setattr(beginning, "_MOST_ON_A_NETWORK", 5)
    async with contextlib.AsyncExitStack() as stack:
        services = [await stack.enter_async_context(DemoProvider()) for _ in range(6)]
        bench = await stack.enter_async_context(Bench.open(keyed(Plan(tmp_path), *services)))
        browser = await stack.enter_async_context(Browser())
        await bench.say("!link keys@a", ADA)
        for alias in "abcdef":
            await bench.say(f"!link keys@{alias}", MALLORY)
        alive = await live(bench)
        await browser.open(bench.link_for(ADA))
        page = browser.text

    assert 5 == alive
    assert "Connect Demo keys (a)?" in page


FIRST_COME = """
SELECT * FROM flows f WHERE network = ? AND network = ? AND state = 'open' ORDER BY created LIMIT 1
"""


@pytest.mark.attack("A50")
async def test_what_is_open_in_a_browser_gives_way_to_nobody(
    bench: Bench, provider: DemoProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where all are, the newcomer is told to wait; twenty minutes later all of them are over."""
    monkeypatch.setattr(beginning, "_MOST_ON_A_NETWORK", 2)
    async with Browser() as browser:
        for speaker in CROWD[:2]:
            await bench.say("!link keys", speaker)
            await browser.open(bench.link_for(speaker))
            await browser.press("Continue")
        refused = [await bench.say("!link keys"), await bench.say(f"!link keys {provider.key_for('ada')}")]
        bench.clock.pass_(FLOW_SECONDS)
        await bench.core.upkeep.sweep()
        later = await bench.say("!link keys")

    assert [["Very many links are being made here just now. Try again in ten minutes."]] * 2 == refused
    assert "open your link" in later[0]


# ------------------------------------------------------------------------------------ connections


@contextlib.asynccontextmanager
async def connected(bench: Bench, count: int, sends: bytes) -> AsyncIterator[list[asyncio.StreamReader]]:
    """*count* connections to the listener, each of which has sent *sends* and no more."""
    streams = []
    try:
        for _ in range(count):
            streams.append(await asyncio.open_connection("127.0.0.1", bench.plan.port))
            with contextlib.suppress(ConnectionError):
                streams[-1][1].write(sends)
        yield [reader for reader, _ in streams]
    finally:
        for _, writer in streams:
            writer.close()
        for _, writer in streams:
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


SLOW = {
    "idle": b"",
    "a head without an end": b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ",
    "a body that does not come": (
        f"POST /l/{'t' * 43} HTTP/1.1\r\nHost: HOST\r\nContent-Type: {FORM}\r\n"
        "Sec-Fetch-Site: same-origin\r\nContent-Length: 100\r\n\r\nkey="
    ).encode(),
}


@pytest.mark.attack("A50", sabotage=lambda patch: patch.setattr(edge, "MOST_CONNECTIONS", 100_000))
@pytest.mark.parametrize("kind", SLOW)
async def test_a_thousand_slow_connections_are_half_as_many_and_silence_nobody(bench: Bench, kind: str) -> None:
    """The listener takes its number and closes the rest; chat is answered on both networks, and pages afterwards."""
    host = f"127.0.0.1:{bench.plan.port}"
    async with connected(bench, 1000, SLOW[kind].replace(b"HOST", host.encode())):
        turns = [await turns_to_pong(bench, ADA), await turns_to_pong(bench, ELSEWHERE)]
        runner = bench.listener._server._runner
        assert runner is not None
        assert runner.server is not None
        held = len(runner.server.connections)
        linked = await bench.say("!link keys")
    async with Browser() as browser:
        for _ in range(100):  # until those connections are gone
            with contextlib.suppress(OSError):
                await browser.open(bench.link_for())
                break
            await asyncio.sleep(0.01)

    assert edge.MOST_CONNECTIONS >= held
    assert 512 >= held
    assert [] == [one for one in turns if one > FEW_TURNS]
    assert "open your link" in linked[0]
    assert "Connect Demo keys?" in browser.text


async def pour(bench: Bench, head: str, chunk: bytes, times: int) -> int:
    """Send *head* and *times* a *chunk*, as far as the listener lets it; return the status of its answer, 0: none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", bench.plan.port)
    host = f"127.0.0.1:{bench.plan.port}"
    writer.write(f"{head}\r\nHost: {host}\r\nContent-Type: {FORM}\r\nSec-Fetch-Site: same-origin\r\n\r\n".encode())
    answer = asyncio.create_task(reader.read(12))
    with contextlib.suppress(ConnectionError):
        for _ in range(times):
            writer.write(chunk)
            await writer.drain()
            if answer.done():
                break
    status = b""
    with contextlib.suppress(ConnectionError):
        status = await answer
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return int(status[9:12] or 0)


def read_to_the_end(patch: pytest.MonkeyPatch) -> None:
    """Read bodies however long they are; what never ends is given up sooner, so that this need not be waited for."""
    patch.setattr(edge, "_BODY_MOST", 100_000_000)
    patch.setattr(edge, "_BODY_WITHIN", 1.0)


@pytest.mark.attack("A50", sabotage=read_to_the_end)
@pytest.mark.parametrize("how", ["Content-Length: 10485760", "Transfer-Encoding: chunked"])
async def test_ten_megabytes_are_not_read(bench: Bench, how: str) -> None:
    """Twenty senders are told that it is too much after the first kilobytes; meanwhile chat is answered."""
    block = b"k" * 65_536
    chunk = b"10000\r\n" + block + b"\r\n" if "chunked" in how else block
    head, enough = f"POST /l/{'t' * 43} HTTP/1.1\r\n{how}", asyncio.Event()
    statuses: list[int] = []

    async def on_and_on() -> None:
        while not enough.is_set():
            statuses.append(await pour(bench, head, chunk, 160))

    pouring = [asyncio.create_task(on_and_on()) for _ in range(20)]
    turns = []
    for _ in range(5):
        turns += [await turns_to_pong(bench, ADA), await turns_to_pong(bench, ELSEWHERE)]
    enough.set()
    await asyncio.gather(*pouring)

    assert len(statuses) >= 20
    assert {413} == set(statuses)
    assert [] == [one for one in turns if one > FEW_TURNS]


def count_by_nick(patch: pytest.MonkeyPatch) -> None:
    """Take every nick for another guest."""
    patch.setattr(limits, "_house", lambda host: secrets.token_hex(4))


@pytest.mark.attack("A50", sabotage=count_by_nick)
async def test_a_guest_of_many_nicks_is_answered_no_more_than_one(plan: Plan) -> None:
    """Two hundred nicks from one host get twenty answers and one refusal; others in the room are answered still."""
    async with Bench.open(replace(plan, limits=limits.Rates())) as bench:
        room, adapter = bench.network.room("ops"), bench.network
        for number in range(200):
            await adapter.hear("!ping", Guest("fake", f"n{number}", f"n{number}", "flood.example"), room)
        await bench.settle()
        answers = [one.reply.text for one in adapter.said]
        ada = await bench.say("!ping", ADA, room)

    assert answers.count("pong") in (20, 21)  # one may come back while they are answered
    assert 1 == sum("Those I do not know say more here" in one for one in answers)
    assert ["pong"] == ada


def at_any_rate(patch: pytest.MonkeyPatch) -> None:
    """Count nothing."""
    patch.setattr(limits.Limits, "take", lambda *_, **__: None)
    patch.setattr(limits.Limits, "take_link", lambda *_: "")


@pytest.mark.attack("A50", sabotage=at_any_rate)
async def test_one_who_floods_is_passed_over_and_nobody_else(plan: Plan) -> None:
    """Of 60 commands of one identity half are answered, and once it is said why no more; the room is not used up."""
    async with Bench.open(replace(plan, limits=limits.Rates())) as bench:
        room = bench.network.room("ops", ADA, MALLORY)
        answers = [one for _ in range(60) for one in await bench.say("!ping", MALLORY, room)]
        ada = await bench.say("!ping", ADA, room)

    pongs = answers.count("pong")
    assert 30 <= pongs < 45  # some come back while they are answered
    assert 1 <= len(answers) - pongs < 5
    assert ["pong"] == ada


@pytest.mark.attack("A50", sabotage=at_any_rate)
async def test_links_are_counted_for_each_identity(plan: Plan) -> None:
    """Whoever has asked for so many gets no more; another's are their own."""
    rates = replace(limits.UNLIMITED, linking=limits.Rate(3, 3600.0))
    async with Bench.open(replace(plan, limits=rates)) as bench:
        said = [(await bench.say("!link demo", MALLORY))[-1] for _ in range(6)]
        own = (await bench.say("!link demo", ADA))[-1]
        begun = await ends(bench)

    assert 3 == sum("You have asked for many links" in one for one in said)
    assert "You have asked for many links" not in own
    assert 4 == len(begun)
