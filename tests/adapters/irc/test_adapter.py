"""The shell around the machine, against a stand-in for a server that says what a test wants."""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from adapters.irc import Adapter, Settings, epochs, hearing, link
from adapters.irc import outbox as outbox_module
from adapters.irc.flood import Pace
from adapters.irc.lines import build
from adapters.irc.machine import Where
from irc_stand_in import CAPS, StandIn
from omnibot.adapter import Tools
from omnibot.errors import NoPrivateWay, NotDelivered, Refused
from omnibot.identity import Guest, Identity
from omnibot.message import Message, Origin, Private, Reply
from omnibot.testing.fakes import FakeStore
from servers.irc.certificates import Authority, Certificate

LONG = "\n".join(f"line {number}" for number in range(20))
REGISTERED = "Registered : Nov 22 11:15:48 2026 +0000 (0s ago)"
ADA = Identity("net", "ada")
IN_TIME = 10.0


class Running:
    """An adapter that runs once, and what it told."""

    def __init__(self, server: StandIn, adapter: Adapter) -> None:
        self.server = server
        self.adapter = adapter
        self.heard: list[Message] = []
        self.takes = asyncio.Event()
        """Whether the bot takes what was heard; it does at first."""

        self.takes.set()
        self.task = asyncio.create_task(adapter.run(self.deliver, _nowhere))

    async def questions(self, number: int) -> None:
        """Return once services were asked so many times about ada."""
        await self._said("INFO ada", number)

    async def joins(self, number: int) -> None:
        """Return once the bot has joined its channel so many times."""
        await self._said("JOIN #ops", number)

    async def _said(self, text: str, number: int) -> None:
        async with asyncio.timeout(IN_TIME):
            while sum(text in line for line in self.server.said) < number:  # noqa: ASYNC110 - it is said by the bot
                await asyncio.sleep(0.005)

    async def again(self) -> None:
        """Cut the connection, and run once more, as a supervisor does."""
        self.server.cut()
        with suppress(OSError):
            await self.task
        self.task = asyncio.create_task(self.adapter.run(self.deliver, _nowhere))

    async def deliver(self, messages: Sequence[Message], position: str | None = None) -> None:
        await self.takes.wait()
        self.heard.extend(messages)

    async def next(self, text: str) -> Message:
        """Return the message that has *text* in it."""
        async with asyncio.timeout(IN_TIME):
            while True:
                for message in self.heard:
                    if text in message.text:
                        return message
                await asyncio.sleep(0.005)

    async def send(self, to: Private | Message, text: str, key: str = "k") -> None:
        await self.adapter.send(to if isinstance(to, Private) else to.channel, Reply(text), key)


def make(directory: Path, port: int, store: FakeStore | None = None, **options: Any) -> Adapter:
    """Return an adapter for the stand-in; nobody's registration is asked for unless a test wants it."""
    plain = {"host": "localhost", "port": port, "tls": False, "allow_plain": True, "channels": ["#ops"]}
    settings = Settings.model_validate(plain | {"pace": {"seconds": 0}, "epochs": "none"} | options)
    log = logging.getLogger("omnibot.tests.irc")
    return Adapter(Tools("net", "!", store or FakeStore(), FakeStore(), directory, log, commands=list), settings)


@asynccontextmanager
async def run(server: StandIn, adapter: Adapter) -> AsyncIterator[Running]:
    """Run *adapter* until the block ends; it is ready and in its channel."""
    running = Running(server, adapter)
    try:
        await server.until("JOIN #ops")
        server.tell("zoe", "in the channel", to="#ops")
        await running.next("in the channel")
        running.heard.clear()
        yield running
    finally:
        running.task.cancel()
        with suppress(asyncio.CancelledError, OSError):
            await running.task


@pytest.fixture
async def server() -> AsyncIterator[StandIn]:
    """A stand-in without TLS."""
    async with StandIn().up() as server:
        yield server


@pytest.fixture
async def bot(server: StandIn, tmp_path: Path) -> AsyncIterator[Running]:
    """An adapter on the stand-in, ready."""
    async with run(server, make(tmp_path, server.port)) as running:
        yield running


@pytest.fixture
async def asking(server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    """One that asks services since when accounts are registered."""
    monkeypatch.setattr(epochs, "ANSWER_WITHIN", 0.3)
    async with run(server, make(tmp_path, server.port, epochs="nickserv")) as running:
        yield running


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """One that the system does not know."""
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Certificate:
    """A server's certificate that nobody has to trust."""
    return authority.server("server", "localhost")


@pytest.fixture
def secured(certificate: Certificate) -> ssl.SSLContext:
    """How a stand-in speaks TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.path, certificate.key_path)
    return context


# ------------------------------------------------------------------------ hearing


async def test_ctcp_is_answered_and_not_too_often(bot: Running) -> None:
    """Ten requests have three answers, by NOTICE, and none is delivered."""
    for _ in range(10):
        bot.server.tell("eve", "\x01VERSION\x01")
    bot.server.tell("eve", "the end")
    await bot.next("the end")
    await bot.server.until("NOTICE eve")

    assert 3 == len([line for line in bot.server.said if line.startswith("NOTICE eve :\x01VERSION omnibot")])
    assert ["the end"] == [one.text for one in bot.heard]


@pytest.mark.parametrize("sign", [":", ","])
async def test_the_bot_is_addressed_by_its_nick(bot: Running, sign: str) -> None:
    """In whatever case; the nick is not part of what was said."""
    bot.server.tell("eve", f"OmniBot{sign} ping", to="#ops")

    assert ("ping", True) == ((heard := await bot.next("ping")).text, heard.addressed)


async def test_another_word_addresses_nobody(bot: Running) -> None:
    """Nor does a nick that begins as the bot's does."""
    bot.server.tell("eve", "omnibots: ping", to="#ops")

    assert not (await bot.next("ping")).addressed


async def test_an_action_is_no_command(bot: Running) -> None:
    """It is told, and begins with no prefix and addresses nobody, in private neither."""
    bot.server.tell("eve", "\x01ACTION !ping\x01")
    heard = await bot.next("!ping")

    assert ("* !ping", False) == (heard.text, heard.addressed)


async def test_what_is_not_heard(bot: Running) -> None:
    """Notices, what the bot said itself, and what was said before it came."""
    bot.server.send(":eve!e@host NOTICE omnibot :!one")
    bot.server.tell("omnibot", "!two", to="#ops")
    bot.server.send(":srv BATCH +x chathistory #ops")
    bot.server.tell("eve", "!three", "eve", to="#ops", tags="batch=x")
    bot.server.send(":srv BATCH -x")
    bot.server.tell("eve", "the end")
    await bot.next("the end")

    assert ["the end"] == [one.text for one in bot.heard]


async def test_a_bot_is_told_apart(bot: Running) -> None:
    """By the network's mark."""
    bot.server.tell("eve", "!ping", to="#ops", tags="bot")

    assert Origin.BOT is (await bot.next("ping")).origin


async def test_codes_are_no_part_of_what_is_said(bot: Running) -> None:
    """Neither colours nor bold."""
    bot.server.tell("eve", "\x0304,05!p\x02ing\x0f")

    assert "!ping" == (await bot.next("ping")).text


# ------------------------------------------------------------------------- saying


async def test_an_answer_in_a_channel_is_addressed(bot: Running) -> None:
    """To the nick that the person has, and their account does not matter."""
    bot.server.tell("Countess", "!ping", "ada", to="#ops")
    heard = await bot.next("ping")
    await bot.adapter.send(heard.channel, Reply("pong", answers=heard), "k")

    assert "PRIVMSG #ops :Countess: pong" == await bot.server.until("pong")


async def test_the_rest_is_for_its_reader(bot: Running) -> None:
    """Asked for in the channel it is told in private, and to nobody else who asks."""
    bot.server.tell("ada", "!long", "ada", to="#ops")
    heard = await bot.next("!long")
    await bot.adapter.send(heard.channel, Reply(LONG, answers=heard), "k")
    await bot.server.until("!more")
    bot.server.tell("eve", "!more", "eve")
    bot.server.tell("ada", "!more")  # not logged in on this very message
    bot.server.tell("ada", "!more", "ada", to="#ops")
    await bot.server.until("line 7")

    assert ["There is no more."] == bot.server.private("eve")
    assert ["There is no more.", "line 5"] == bot.server.private("ada")[:2]
    assert "more lines: !more" in bot.server.private("ada")[-1]
    assert [] == [one for one in bot.heard if "!more" in one.text]


async def test_one_key_one_line(bot: Running) -> None:
    """Who gives up waiting and tries again says nothing twice."""
    bot.server.tell("ada", "hello", "ada", to="#ops")
    heard = await bot.next("hello")
    await asyncio.gather(*(bot.send(heard, "once") for _ in range(3)))
    await bot.send(heard, "fence", "other")
    await bot.server.until("fence")

    assert 1 == len([line for line in bot.server.said if "once" in line])


async def test_a_cut_is_told(bot: Running) -> None:
    """What cannot be said is not said to be delivered, and `run` ends."""
    bot.server.tell("ada", "hello", to="#ops")
    heard = await bot.next("hello")
    bot.server.cut()
    with pytest.raises(OSError, match="closed"):
        await bot.task

    with pytest.raises(NotDelivered):
        await bot.send(heard, "into the void")


async def test_what_waits_at_a_cut_is_told(bot: Running) -> None:
    """Flood control held it back, and now it never goes out."""
    bot.server.tell("ada", "hello", to="#ops")
    heard = await bot.next("hello")
    bot.adapter._outbox._flood._pace = Pace(lines=1, seconds=60)
    await bot.send(heard, "in time", "1")
    saying = asyncio.create_task(bot.send(heard, "too late", "2"))
    await asyncio.sleep(0.05)
    bot.server.cut()

    with pytest.raises(NotDelivered):
        await saying


async def test_no_line_is_too_long_and_none_breaks_out(bot: Running) -> None:
    """Whatever is said: 512 bytes with what others get in front, and nothing but PRIVMSG."""
    bot.server.tell("ada", "hello", to="#ops")
    heard = await bot.next("hello")
    begin = len(bot.server.said)
    await bot.send(heard, "ä" * 3000 + "\r\nQUIT :x\0\rQUIT\n" + "🦉" * 500)
    await bot.send(heard, "fence", "other")
    await bot.server.until("fence")
    said = bot.server.said[begin:]

    assert {"PRIVMSG"} == {line.partition(" ")[0] for line in said}
    assert max(len(f":omnibot!bot@host {line}\r\n".encode()) for line in said) <= 512


# --------------------------------------------------------------------- in private


async def test_somebody_in_no_channel_is_asked_about_first(bot: Running) -> None:
    """They spoke, and another may have their nick by now."""
    bot.server.accounts["ada"] = "ada"
    bot.server.tell("ada", "hello", "ada")
    near = await bot.next("hello")
    await bot.send(Private(ADA, near), "first", "1")
    bot.server.accounts["ada"] = "eve"
    with pytest.raises(NoPrivateWay):
        await bot.send(Private(ADA, near), "second", "2")
    with pytest.raises(NoPrivateWay):
        await bot.send(near, "third", "3")

    assert ["first"] == bot.server.private("ada")


async def test_somebody_in_a_channel_is_not(bot: Running) -> None:
    """The network tells of itself when they log out, and that counts."""
    bot.server.send(":ada!a@host JOIN #ops ada :Ada")
    bot.server.tell("ada", "hello", "ada", to="#ops")
    near = await bot.next("hello")
    await bot.send(Private(ADA, near), "first", "1")
    bot.server.send(":ada!a@host ACCOUNT *")
    bot.server.tell("ada", "the end")
    await bot.next("the end")
    with pytest.raises(NoPrivateWay):
        await bot.send(Private(ADA, near), "second", "2")

    assert ["first"] == bot.server.private("ada")


async def test_a_nick_that_comes_along_is_asked_about(bot: Running) -> None:
    """She spoke in private and left; whoever has her nick now was in the channel when the bot came in."""
    bot.server.tell("ada", "hello", "ada")
    near = await bot.next("hello")
    bot.server.send(":omnibot!bot@host JOIN #den * :bot", ":srv 353 omnibot = #den :omnibot ada")
    bot.server.tell("zoe", "the end")
    await bot.next("the end")
    with pytest.raises(NoPrivateWay):
        await bot.send(Private(ADA, near), "a secret", "1")

    assert [] == bot.server.private("ada")


async def test_more_questions_than_may_wait_are_not_asked(bot: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever they are about cannot be reached just now, and the connection goes on."""
    monkeypatch.setattr("adapters.irc.machine.ASK_TIME", 0.5)
    bot.adapter._outbox._flood._pace = Pace(lines=1, seconds=60)
    people = [Identity("net", f"p{number}") for number in range(60)]
    told = await asyncio.gather(
        *(bot.adapter.send(Private(one, None), Reply("hi"), one.subject) for one in people), return_exceptions=True
    )
    bot.server.tell("zoe", "the end")
    await bot.next("the end")

    assert {NoPrivateWay} == {type(one) for one in told}


async def test_a_server_that_is_not_asked_vouches_for_nobody(bot: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """There are too many questions: no line goes out for that, the second one neither."""
    bot.server.tell("ada", "hello", "ada")
    near = await bot.next("hello")
    outbox = bot.adapter._outbox
    outbox._vouched.clear()
    monkeypatch.setattr("adapters.irc.machine._MAX_ASKED", 0)
    for text in ("first", "second"):
        with pytest.raises(NotDelivered):
            await outbox.queue("ada", [build("PRIVMSG", "ada", text)], "ada")
    bot.server.tell("ada", "the end")
    await bot.next("the end")

    assert near.speaker == ADA
    assert [] == bot.server.private("ada")


async def test_a_question_has_an_end_though_nobody_reads(bot: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bot takes nothing, so nothing is read, and the answer would come that way."""
    monkeypatch.setattr(outbox_module, "_TOLD_WITHIN", 0.2)
    bot.takes.clear()
    monkeypatch.setattr(bot.adapter._hearing, "_heard", asyncio.Queue(1))
    for number in range(3):
        bot.server.tell("eve", f"line {number}")
    await asyncio.sleep(0.1)
    bot.server.accounts["ada"] = "ada"
    try:
        async with asyncio.timeout(IN_TIME):
            with pytest.raises(NoPrivateWay):
                await bot.send(Private(ADA, None), "first", "1")
    finally:
        bot.takes.set()


# ------------------------------------------------------------------------- epochs


async def test_an_account_has_an_epoch(asking: Running) -> None:
    """What is said waits until services have told, others' words do not wait, and order is kept."""
    asking.server.registered["ada"] = REGISTERED
    asking.server.tell("ada", "first", "ada")
    asking.server.tell("eve", "a guest")
    asking.server.tell("ada", "second", "ada")
    await asking.next("second")
    texts = [one.text for one in asking.heard]

    assert "a guest" == texts[0]
    assert ["first", "second"] == texts[1:]
    assert Identity("net", "ada", "1795346148") == asking.heard[1].speaker == asking.heard[2].speaker
    assert 1 == sum("INFO ada" in line for line in asking.server.said)


async def test_who_logs_in_anew_is_asked_about_anew(asking: Running) -> None:
    """Somebody else has the account by then, and nothing that was meant for the first is said to them."""
    asking.server.registered["ada"] = REGISTERED
    asking.server.send(":ada!a@host JOIN #ops ada :Ada")
    asking.server.tell("ada", "first", "ada")
    first = await asking.next("first")
    asking.server.registered["ada"] = REGISTERED.replace("2026", "2027")
    asking.server.send(":ada!a@host ACCOUNT *", ":ada!a@host ACCOUNT ada")
    asking.server.tell("ada", "second", "ada")
    second = await asking.next("second")
    assert isinstance(first.speaker, Identity)
    with pytest.raises(NoPrivateWay):
        await asking.send(Private(first.speaker, first), "a secret", "1")
    with pytest.raises(NoPrivateWay):
        await asking.send(first, "a secret", "2")

    assert first.speaker != second.speaker
    assert not await asking.adapter.present(first.speaker, first.channel)
    assert [] == asking.server.private("ada")


async def test_without_services_nobody_new_is_known(asking: Running) -> None:
    """They are a guest for that message."""
    asking.server.has_services = False
    asking.server.tell("ada", "hello", "ada")

    speaker = (await asking.next("hello")).speaker
    assert Guest("net", "ada") == speaker
    assert isinstance(speaker, Guest)
    assert speaker.host  # by which their messages are counted, whatever they call themselves


async def test_what_waits_for_services_outlives_a_cut(asking: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody known from before is known, anybody else is a guest; all of it is handed over, in its order."""
    asking.server.registered["ada"] = REGISTERED
    asking.server.tell("ada", "zero", "ada")
    ada = (await asking.next("zero")).speaker
    asking.server.silent_services = True
    monkeypatch.setattr(epochs, "ANSWER_WITHIN", IN_TIME)
    for nick in ("countess", "eve"):  # nobody knows these
        asking.server.tell(nick, f"first of {nick}", {"countess": "ada"}.get(nick, nick))
        asking.server.tell(nick, f"second of {nick}", {"countess": "ada"}.get(nick, nick))
    await asking.questions(2)
    await asking.again()

    assert isinstance(ada, Identity)
    for nick, speaker in (("countess", ada), ("eve", Guest("net", "eve"))):
        await asking.next(f"second of {nick}")
        assert [(f"{number} of {nick}", speaker) for number in ("first", "second")] == [
            (one.text, one.speaker) for one in asking.heard if nick in one.text
        ]


async def test_who_has_just_logged_in_is_not_known_from_before(
    server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The account may have another owner, and the cut came before services could tell.

    The bot is slow, so that what they said is looked at when the network has forgotten that they had logged in.
    """
    monkeypatch.setattr(hearing, "_UNHEARD", 1)
    server.registered["ada"] = REGISTERED
    async with run(server, make(tmp_path, server.port, epochs="nickserv")) as bot:
        server.send(":ada!a@host JOIN #ops ada :Ada")
        server.tell("ada", "zero", "ada")
        known = (await bot.next("zero")).speaker
        server.silent_services = True
        bot.takes.clear()
        server.send(":ada!a@host ACCOUNT *", ":ada!a@host ACCOUNT ada")
        for text in ("first", "second"):
            server.tell("ada", text, "ada")
        for text in ("this waits", "and this as well"):
            server.tell("zoe", text)
        await bot.questions(2)
        await bot.again()
        await bot.joins(2)
        bot.takes.set()

        assert isinstance(known, Identity)
        for text in ("first", "second"):
            assert Guest("net", "ada") == (await bot.next(text)).speaker


async def test_what_was_heard_outlives_a_cut(bot: Running) -> None:
    """The bot was slow to take it; afterwards it has all of it, in its order."""
    bot.takes.clear()
    for number in range(3):
        bot.server.tell("ada", f"line {number}")
    bot.server.send("PING fence")
    await bot.server.until("PONG fence")
    await bot.again()
    bot.takes.set()
    await bot.next("line 2")

    assert [f"line {number}" for number in range(3)] == [one.text for one in bot.heard]


# --------------------------------------------------------------------- connecting


async def test_a_pin_that_does_not_fit_is_final(
    tmp_path: Path, secured: ssl.SSLContext, certificate: Certificate
) -> None:
    """The server gets no byte, and the cure tells what to do."""
    wrong = "sha256:" + "0" * 64
    async with StandIn().up(secured) as server:
        adapter = make(tmp_path, server.port, tls={"fingerprint": wrong})
        with pytest.raises(Refused, match=certificate.fingerprint) as refused:
            await adapter.run(_nothing, _nowhere)

        assert b"" == server.raw
        assert "fingerprint" in refused.value.cure


async def test_the_right_pin_lets_in(tmp_path: Path, secured: ssl.SSLContext, certificate: Certificate) -> None:
    """A certificate that nobody signed is as good, if it is that one."""
    async with StandIn().up(secured) as server:
        adapter = make(tmp_path, server.port, tls={"fingerprint": f"sha256:{certificate.fingerprint}"})
        async with run(server, adapter) as bot:
            bot.server.tell("ada", "hello", "ada")

            assert ADA == (await bot.next("hello")).speaker


async def test_a_certificate_that_nobody_signed(tmp_path: Path, secured: ssl.SSLContext) -> None:
    """Without a pin it is not trusted, and nothing is sent."""
    async with StandIn().up(secured) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            await make(tmp_path, server.port, tls=True).run(_nothing, _nowhere)

        assert b"" == server.raw


@pytest.mark.parametrize(
    ("known", "host", "options", "cure"),
    [
        (False, "localhost", {"tls": True}, "tls: {ca: FILE}"),
        (True, "irc.example.org", {}, "set host to a name that is in it"),
        (False, "localhost", {"tls": "other"}, "holds that of the authority"),
    ],
)
async def test_what_to_do_about_a_certificate(
    tmp_path: Path,
    secured: ssl.SSLContext,
    authority: Authority,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    known: bool,
    host: str,
    options: dict[str, Any],
    cure: str,
) -> None:
    """The log tells what is wrong with it, and how to mend that."""
    monkeypatch.setattr(socket, "getaddrinfo", _here)
    ca = authority if known else Authority(tmp_path)
    tls = options.get("tls") if options.get("tls") is True else {"ca": str(ca.path)}
    async with StandIn().up(secured) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            await make(tmp_path, server.port, host=host, tls=tls).run(_nothing, _nowhere)

    [said] = [one.getMessage() for one in caplog.records]
    assert f"the certificate of {host} is not to be trusted: " in said
    assert cure in said
    assert "tls: {fingerprint: sha256:" in said


async def test_who_was_sent_over_to_tls_is_told_why(
    tmp_path: Path, secured: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    """The configuration says `tls: false`: that it is spoken all the same is the server's wish."""
    async with StandIn().up(secured) as safe, StandIn().up() as plain:
        plain.caps = f"{CAPS} sts=port={safe.port}"
        with pytest.raises(ssl.SSLCertVerificationError):
            await make(tmp_path, plain.port).run(_nothing, _nowhere)

    assert "the server wants TLS, whatever `tls` says" in caplog.text
    assert "tls: {ca: FILE}" in caplog.text


async def test_a_port_without_tls(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where TLS is expected."""
    async with StandIn().up() as plain:
        plain.greeting = ":srv NOTICE * :*** Looking up your hostname"
        with pytest.raises(ssl.SSLError):
            await make(tmp_path, plain.port, tls=True).run(_nothing, _nowhere)

    assert f"localhost:{plain.port} does not speak TLS" in caplog.text
    assert "tls: false" in caplog.text


@pytest.mark.parametrize("host", ["localhost", "nowhere.invalid"])
async def test_nobody_there(tmp_path: Path, caplog: pytest.LogCaptureFixture, host: str) -> None:
    """The log tells whom the bot wanted to reach."""
    async with StandIn().up() as gone:
        pass
    with pytest.raises(OSError):
        await make(tmp_path, gone.port, host=host).run(_nothing, _nowhere)

    assert f"no connection to {host}:{gone.port}: " in caplog.text


async def test_why_a_connection_ended(bot: Running, caplog: pytest.LogCaptureFixture) -> None:
    """The server's own words, as they may be shown."""
    bot.server.send("ERROR :Closing Link: host (K-Lined: \x1b[31mspam)")
    with pytest.raises(OSError, match="K-Lined"):
        await bot.task

    assert "the network closed the connection: Closing Link: host (K-Lined" in caplog.text
    assert "\x1b" not in caplog.text


async def test_a_line_without_an_end() -> None:
    """It is not gathered for as long as it comes."""
    gone = asyncio.Event()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            for _ in range(200):
                writer.write(b"x" * 65536)
                await writer.drain()
        gone.set()
        writer.close()

    server = await asyncio.start_server(endless, "127.0.0.1", 0)
    one = await link.Link.open(Where("127.0.0.1", server.sockets[0].getsockname()[1], tls=False), None)
    async with asyncio.timeout(IN_TIME):
        with pytest.raises(link.Lost, match="no end"):
            await one.read(None)
        await gone.wait()
    one.close()
    server.close()


async def test_a_server_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connecting takes no longer than it may: here TLS is awaited from somebody who says nothing."""
    monkeypatch.setattr(link, "CONNECT_SECONDS", 0.1)

    gone = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        gone.set()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    with pytest.raises(TimeoutError):
        await link.Link.open(Where("localhost", server.sockets[0].getsockname()[1], tls=True), None)
    await gone.wait()
    server.close()


async def test_a_flood_of_the_servers_waits_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody reads is not taken in, and nothing of it is lost."""
    monkeypatch.setattr(link, "MOST_UNREAD", 100)
    lines = 200_000
    sent = asyncio.Event()

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(lines // 1000):
            writer.write(b"PING :0123456789012345678901234567890\r\n" * 1000)
            await writer.drain()
        sent.set()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(flood, "127.0.0.1", 0)
    one = await link.Link.open(Where("127.0.0.1", server.sockets[0].getsockname()[1], tls=False), None)
    await asyncio.sleep(0.3)
    waiting, held_up = len(one._lines), not sent.is_set()
    read = 0
    with suppress(link.Lost):
        while True:
            read += len(await one.read(IN_TIME))
    one.close()
    server.close()

    assert held_up
    assert waiting < 20_000
    assert lines == read


async def test_a_policy_outlives_a_restart(
    tmp_path: Path, secured: ssl.SSLContext, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Met over TLS once, the server is not met without it again, by another process neither."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    store = FakeStore()
    async with StandIn(f"{CAPS} sts=duration=3600").up(secured) as safe, StandIn().up() as plain:
        plain.caps = f"{CAPS} sts=port={safe.port}"
        async with run(safe, make(tmp_path, plain.port, store)):
            safe.said.clear()
        async with run(safe, make(tmp_path, plain.port, store)):
            assert (1, 2) == (plain.connections, safe.connections)

        assert {"CAP"} == {line.partition(" ")[0] for line in plain.said} - {"NICK", "USER"}


async def _nothing(messages: Sequence[Message], position: str | None = None) -> None:
    """Take nothing."""


def _here(host: str, port: object, *rest: object, **more: object) -> list[Any]:
    """Return this machine's address, whatever *host* is."""
    return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port))]


async def _nowhere(realm: str) -> None:
    """Nobody waits for it."""
