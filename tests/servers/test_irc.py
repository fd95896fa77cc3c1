"""The IRC servers, the people and the proxy that other tests lean on do what those tests take for granted."""

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from servers.faults import HOST, Faults
from servers.irc import server
from servers.irc.client import Gone, People
from servers.irc.line import Line, parse
from servers.irc.server import Irc, Ngircd
from servers.processes import ServerMissing, fixed_ports

type Call = Callable[[int], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


def is_a(command: str, of: str = "") -> Callable[[Line], bool]:
    """Whether a line is *command*, and is from the nick *of* unless that is empty."""
    return lambda line: line.command == command and of in ("", line.nick)


# ------------------------------------------------------------ who is speaking


async def test_a_message_carries_the_account_of_its_sender(irc: Irc, people: People) -> None:
    """In a channel and in private, as long as they are logged in; the nick says nothing."""
    account = irc.register("ada")
    bot, ada, eve = await people.come(irc.port, "bot", "ada_", "eve")
    for person in (bot, ada):
        await person.join("#lab")
    await ada.identify(account)
    noticed = await bot.until(is_a("ACCOUNT", of="ada_"))
    await ada.say("#lab", "to all")
    await ada.say("bot", "to you")
    tagged = [await bot.hear("to all"), await bot.hear("to you")]
    await ada.logout()
    await ada.say("#lab", "who am I")
    untagged = await bot.hear("who am I")
    await ada.send("QUIT")
    await bot.until(is_a("QUIT", of="ada_"))
    await eve.send("NICK ada")
    await eve.say("bot", "I am Ada")
    claimed = await bot.hear("I am Ada")

    assert "ada" == noticed.text
    assert [("#lab", "ada"), ("bot", "ada")] == [(line.params[0], line.account) for line in tagged]
    assert None is untagged.account
    assert ("ada", None) == (claimed.nick, claimed.account)


async def test_who_asked_for_no_tag_gets_none(irc: Irc, people: People) -> None:
    """A client of old sees plain lines."""
    account = irc.register("ada")
    ((ada,), (old,)) = await asyncio.gather(people.come(irc.port, account), people.come(irc.port, "old", caps=()))
    await ada.say("old", "hello")

    assert {} == (await old.hear("hello")).tags


async def test_sasl_lets_in_with_the_password(irc: Irc, people: People) -> None:
    """Plain and over TLS; with another password it does not."""
    ada, grace, _ = irc.register("ada"), irc.register("grace"), irc.register("eve", "the-right-one")
    plain, secure, failed = await asyncio.gather(
        people.come(irc.port, ada),
        people.come(irc.tls_port, grace, tls=irc.trust()),
        people.come(irc.port, server.Account("eve", "the-wrong-one")),
        return_exceptions=True,
    )

    assert isinstance(failed, AssertionError)
    assert " 904 " in str(failed)
    assert isinstance(plain, list)
    assert isinstance(secure, list)
    logged_in = [line.params[2] for (person,) in (plain, secure) for line in person.lines if line.command == "900"]
    assert ["ada", "grace"] == logged_in


async def test_a_certificate_lets_in(irc: Irc, people: People) -> None:
    """SASL EXTERNAL knows the certificate whose fingerprint NickServ was told, and no other."""
    account = irc.register("ada")
    hers, other = irc.own_certificate("hers"), irc.own_certificate("other")
    said = irc.nickserv(account, f"CERT ADD {hers.fingerprint}")
    known, unknown = await asyncio.gather(
        people.come(irc.tls_port, "ada", tls=irc.trust(hers), external=True),
        people.come(irc.tls_port, "eve", tls=irc.trust(other), external=True),
        return_exceptions=True,
    )

    assert [f"Added fingerprint {hers.fingerprint} to your fingerprint list."] == said
    assert isinstance(known, list)
    assert "ada" == next(line for line in known[0].lines if line.command == "900").params[2]
    assert isinstance(unknown, AssertionError)
    assert " 904 " in str(unknown)


async def test_a_dropped_account_is_free_for_anybody(irc: Irc, people: People) -> None:
    """Whoever was logged in is so no more; who registers the name next is called the same."""
    account = irc.register("ada")
    ada, eve = await people.come(irc.port, account, "eve")
    irc.drop("ada")
    await ada.until(is_a("901"))
    await ada.send("NICK away")
    await ada.until(is_a("NICK"))
    again = irc.register("ada")
    await eve.identify(again)
    await eve.say("away", "Ada here")

    assert "ada" == (await ada.hear("Ada here")).account
    assert ["ada"] == irc.accounts()


# -------------------------------------------------------------- certificates


async def test_the_server_shows_the_certificate_that_the_fixture_names(irc: Irc) -> None:
    """Its fingerprint is right, and the machine's own authorities do not know it."""
    _, writer = await asyncio.open_connection(HOST, irc.tls_port, ssl=irc.trust(), server_hostname="127.0.0.1")
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection(HOST, irc.tls_port, ssl=ssl.create_default_context(), server_hostname=HOST)

    assert irc.fingerprint == hashlib.sha256(shown).hexdigest()


# ---------------------------------------------------------------- up and down


async def test_a_server_comes_back_at_its_ports(irc: Irc, people: People) -> None:
    """Everybody is told, and the accounts are still there."""
    account = irc.register("ada")
    (ada,) = await people.come(irc.port, account)
    irc.stop()
    await ada.gone()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(HOST, irc.port)
    irc.start()
    (again,) = await people.come(irc.port, account)

    assert is_a("ERROR")(ada.lines[-1])
    assert "sasl" in again.caps
    assert ["ada"] == irc.accounts()


async def test_without_services_there_is_no_sasl(irc: Irc, people: People) -> None:
    """Whoever was logged in still is; when the services are back they let in again."""
    account = irc.register("ada")
    (ada,) = await people.come(irc.port, account)
    irc.services_down()
    (bot,) = await people.come(irc.port, "bot")
    await ada.say("bot", "still me")
    heard = await bot.hear("still me")
    irc.services_up()
    await bot.identify(account)

    assert "sasl" not in bot.offered
    assert "ada" == heard.account


async def test_a_test_begins_with_nobody_there(irc: Irc, people: People) -> None:
    """Who was left behind is thrown out, and the accounts are dropped."""
    account = irc.register("ada")
    ada, eve = await people.come(irc.port, account, "eve")
    await eve.say("NickServ", "REGISTER by-herself eve@irc.test")
    await eve.until(is_a("900"))
    before = sorted(irc.nicks()), sorted(irc.accounts())
    irc.ban("omnibot@*")
    irc.limit(password="secret")
    irc.clear()
    await asyncio.gather(ada.gone(), eve.gone())

    assert (["ada", "eve"], ["ada", "eve"]) == before
    assert ([], []) == (irc.nicks(), irc.accounts())
    assert not any("REGISTER" in line for line in irc.log())
    await people.come(irc.port, "omnibot")
    assert any("omnibot!omnibot@" in line for line in irc.log())


# ------------------------------------------------------------------ operators


async def test_an_operator_throws_out(irc: Irc, people: People) -> None:
    """By KILL; by SAQUIT the others see whatever was asked for."""
    bot, ada, eve = await people.come(irc.port, "bot", "ada", "eve")
    for person in (bot, ada, eve):
        await person.join("#lab")
    irc.kill("ada", "enough")
    irc.quit("eve", "Ping timeout: 240 seconds")
    await asyncio.gather(ada.gone(), eve.gone())

    assert "Killed (rig (enough))" == (await bot.until(is_a("QUIT", of="ada"))).text
    assert "Ping timeout: 240 seconds" == (await bot.until(is_a("QUIT", of="eve"))).text
    assert "enough" in ada.lines[-1].raw


async def test_who_is_banned_is_told_so(irc: Irc, people: People) -> None:
    """It is 465, whatever the nick; everybody else comes in."""
    irc.ban("evil@*", "go away")
    await people.come(irc.port, "ada")
    with pytest.raises((AssertionError, Gone), match=r" 465 "):
        await people.come(irc.port, "evil")

    assert ["ada"] == irc.nicks()


async def test_who_talks_too_fast_is_closed_if_the_test_wants_it(irc: Irc, people: People) -> None:
    """Otherwise a thousand lines are fine; and a server may want a password."""
    (fast,) = await people.come(irc.port, "fast")
    await fast.send(*(f"PRIVMSG fast :{number}" for number in range(1000)), "PRIVMSG fast :done")
    await fast.hear("done")
    irc.limit(threshold="10", commandrate="1000", password="secret")
    with pytest.raises((AssertionError, Gone), match="Access denied"):
        await people.come(irc.port, "nobody")
    (flood,) = await people.come(irc.port, "flood", password="secret")
    with suppress(ConnectionError):
        await flood.send(*(f"PRIVMSG fast :{number}" for number in range(100)))
    await flood.gone()

    assert "Excess Flood" in flood.lines[-1].raw


async def test_a_netsplit_parts_those_on_two_servers(irc: Irc, people: People) -> None:
    """Each sees the other quit with the servers' names, and come back when it is over."""
    irc.join_leaf()
    ((ada,), (lee,)) = await asyncio.gather(people.come(irc.port, "ada"), people.come(irc.leaf_node.port, "lee"))
    await ada.join("#lab")
    await lee.join("#lab")
    await ada.until(is_a("JOIN", of="lee"))
    irc.split()
    quits = (await ada.until(is_a("QUIT", of="lee"))).text, (await lee.until(is_a("QUIT", of="ada"))).text
    irc.join_leaf()
    await ada.until(is_a("JOIN", of="lee"))
    await lee.say("#lab", "back again")

    assert ("irc.test leaf.test", "leaf.test irc.test") == quits
    assert "lee" == (await ada.hear("back again")).nick


# -------------------------------------------------------------- as it was once


async def test_a_network_of_old_has_no_accounts_and_no_tags(ngircd: Ngircd, people: People) -> None:
    """CAP lists one thing that is of no use here, nicks are short, and everything else goes on."""
    ada, bot = await people.come(ngircd.port, "ada", "bot")
    await ada.say("bot", "hello")
    heard = await bot.hear("hello")
    with pytest.raises(AssertionError, match=r" 432 "):
        await people.come(ngircd.port, "ten_letter")
    ngircd.clear()
    await ada.gone()

    assert ["multi-prefix"] == list(bot.offered)
    assert {} == heard.tags
    assert not any('"ada!' in line for line in ngircd.log())


def test_a_server_that_is_not_there_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing may be skipped it says what is missing, and how to get it."""
    monkeypatch.setenv("OMNIBOT_REQUIRE_SERVERS", "1")
    monkeypatch.setattr(server, "INSPIRCD", tmp_path / "inspircd")
    monkeypatch.setattr(server, "NGIRCD", Path("/bin/true"))

    with pytest.raises(ServerMissing, match="make servers"), server.instance(tmp_path):
        pass
    with pytest.raises(ServerMissing, match="not one of those"), server.old_instance(tmp_path):
        pass


# --------------------------------------------------------------------- faults


@pytest.fixture
async def echo() -> AsyncIterator[int]:
    """The port of a server that says everything again."""
    writers = list[asyncio.StreamWriter]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(OSError):
            while data := await reader.read(100):
                writer.write(data)
        writer.close()

    listening = await asyncio.start_server(serve, HOST, 0)
    yield listening.sockets[0].getsockname()[1]
    listening.close()
    for writer in writers:
        writer.transport.abort()


@pytest.fixture
async def call() -> AsyncIterator[Call]:
    """Connects to a port; what is still open is closed afterwards."""
    writers = list[asyncio.StreamWriter]()

    async def call(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(HOST, port)
        writers.append(writer)
        return reader, writer

    yield call
    for writer in writers:
        writer.transport.abort()


async def test_a_proxy_passes_everything_on(echo: int, call: Call, faults: Faults) -> None:
    """Both ways, however much it is, and the end too; it counts."""
    proxy = await faults.before(echo)
    reader, writer = await call(proxy.port)
    sent = b"0123456789" * 100_000
    writer.write(sent)
    writer.write_eof()

    assert sent == await reader.read(-1)
    assert (1, len(sent), len(sent)) == (proxy.accepted, proxy.up.passed, proxy.down.passed)


async def test_a_proxy_is_slow(echo: int, call: Call, faults: Faults) -> None:
    """Each way takes as much longer, and nothing overtakes."""
    proxy = await faults.before(echo)
    proxy.latency = 0.05
    reader, writer = await call(proxy.port)
    begin = asyncio.get_running_loop().time()
    writer.write(b"first ")
    await asyncio.sleep(0.01)
    proxy.latency = 0.0
    writer.write(b"second")

    assert b"first second" == await reader.readexactly(12)
    assert asyncio.get_running_loop().time() - begin >= 0.05


async def test_a_stalled_connection_stays_open_and_silent(echo: int, call: Call, faults: Faults) -> None:
    """Until it goes on, and then nothing was lost; one way may be stalled alone."""
    proxy = await faults.before(echo)
    reader, writer = await call(proxy.port)
    proxy.down.stall()
    writer.write(b"hello")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.05)
    before = proxy.up.passed, proxy.down.passed, proxy.connected
    proxy.stall(False)

    assert (5, 0, 1) == before
    assert b"hello" == await reader.readexactly(5)


@pytest.mark.parametrize("stalled", [False, True])
async def test_a_connection_is_cut(echo: int, call: Call, faults: Faults, stalled: bool) -> None:
    """With FIN the reader sees an end, with RST an error, even if nothing flows; the next connection is fine."""
    proxy = await faults.before(echo)
    seen = list[object]()
    for rst in (False, True):
        reader, writer = await call(proxy.port)
        writer.write(b"x")
        await reader.readexactly(1)
        proxy.stall(stalled)
        proxy.cut(rst=rst)
        try:
            seen.append(await reader.read())
        except ConnectionResetError:
            seen.append("reset")
        proxy.stall(False)

    assert [b"", "reset"] == seen
    assert 2 == proxy.accepted


async def test_a_port_refuses_and_accepts_again(echo: int, call: Call, faults: Faults) -> None:
    """Whoever is connected stays so; a server that is down closes at once."""
    proxy = await faults.before(echo)
    reader, writer = await call(proxy.port)
    writer.write(b"x")
    await reader.readexactly(1)
    await proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        await call(proxy.port)
    writer.write(b"y")
    stayed = await reader.readexactly(1)
    await proxy.accept()
    await call(proxy.port)
    (nobody,) = fixed_ports(1)
    nowhere, _ = await call((await faults.before(nobody)).port)

    assert b"y" == stayed
    assert b"" == await nowhere.read()


async def test_a_line_is_cut_in_its_middle(echo: int, call: Call, faults: Faults) -> None:
    """So many bytes come through and no more, once."""
    proxy = await faults.before(echo)
    proxy.down.drop_after = 7
    reader, writer = await call(proxy.port)
    writer.write(b"hello")
    first = await reader.readexactly(5)
    writer.write(b"hello")
    rest = await reader.readexactly(2)
    with pytest.raises(ConnectionResetError):
        await reader.read()
    reader, writer = await call(proxy.port)
    writer.write(b"hello again")

    assert b"hellohe" == first + rest
    assert b"hello again" == await reader.readexactly(11)


async def test_a_proxy_stands_before_a_server_of_irc(irc: Irc, people: People, faults: Faults) -> None:
    """Over TLS too; who is cut with RST has quit for the others, and who is half-open has not."""
    proxy = await faults.before(irc.tls_port)
    ((ada,), (bot,)) = await asyncio.gather(
        people.come(irc.port, "ada"), people.come(proxy.port, "bot", tls=irc.trust())
    )
    await ada.join("#lab")
    await bot.join("#lab")
    proxy.stall()
    await ada.say("#lab", "are you there")
    still = sorted(irc.nicks())
    proxy.stall(False)
    heard = await bot.hear("are you there")
    proxy.cut()
    await asyncio.gather(bot.gone(), ada.until(is_a("QUIT", of="bot")))

    assert ["ada", "bot"] == still
    assert "ada" == heard.nick
    assert ["ada"] == irc.nicks()


# ---------------------------------------------------------------------- lines


@pytest.mark.parametrize(
    ("raw", "tags", "nick", "command", "params"),
    [
        ("PING :a b", {}, "", "PING", ("a b",)),
        (":ada!a@h PRIVMSG #lab :", {}, "ada", "PRIVMSG", ("#lab", "")),
        (":irc.test 005 ada BOT=B :are here", {}, "irc.test", "005", ("ada", "BOT=B", "are here")),
        ("@account=ada;x :ada!a@h NICK eve", {"account": "ada", "x": ""}, "ada", "NICK", ("eve",)),
        (r"@a=\:\s\\\r\n\q\ JOIN #lab", {"a": "; \\\r\nq"}, "", "JOIN", ("#lab",)),
        ("", {}, "", "", ()),
    ],
)  # fmt: skip
def test_a_line_has_parts(raw: str, tags: dict[str, str], nick: str, command: str, params: tuple[str, ...]) -> None:
    """As RFC 1459 and IRCv3's Message Tags divide it."""
    line = parse(raw)

    assert (tags, nick, command, params) == (line.tags, line.nick, line.command, line.params)
