"""Another nick where the own is taken, and the own again as soon as it is free."""

import pytest

from adapters.irc.effects import Drop, Refused
from irc_talk import Talk, only, sent
from omnibot.provider import Secret

PLAIN = {"username": "bot", "password": Secret("hunter2")}


def elsewhere() -> Talk:
    """Return a talk in which the bot was welcomed as omnibot_, for omnibot was in use."""
    talk = Talk()
    talk.connect()
    talk.hears(":srv CAP * LS :", ":srv 433 * omnibot :in use")
    talk.hears(":srv 001 omnibot_ :x", ":srv 005 omnibot_ NICKLEN=30 :x", ":srv 376 omnibot_ :x")
    return talk


def test_taken_nicks_lead_to_others() -> None:
    """One after the other, and not for ever."""
    talk = Talk(nick="bot")
    talk.connect()
    asked = [sent(talk.hears(":srv 433 * bot :in use")) for _ in range(12)]

    assert [["NICK bot_"], ["NICK bot__"], ["NICK bot3"], ["NICK bot4"]] == asked[:4]
    assert 12 == len({tuple(one) for one in asked})
    assert 1 == len(only(Drop, talk.hears(":srv 433 * bot :in use")))


@pytest.mark.parametrize("code", ["433", "436", "437"])
def test_in_use_collided_or_held(code: str) -> None:
    """All the same while connecting."""
    talk = Talk()
    talk.connect()

    assert ["NICK omnibot_"] == sent(talk.hears(f":srv {code} * omnibot :no"))


def test_a_nick_that_is_too_long() -> None:
    """Servers of old allow nine characters, and tell only later."""
    talk = Talk(nick="longer-than-nine")
    talk.connect()

    assert ["NICK longer-th"] == sent(talk.hears(":srv 432 * longer-than-nine :Erroneous"))
    assert ["NICK longer-t_"] == sent(talk.hears(":srv 433 * longer-th :in use"))
    assert 1 == len(only(Refused, talk.hears(":srv 432 * longer-t_ :Erroneous")))


def test_a_short_nick_is_the_right_one_on_a_network_of_short_nicks() -> None:
    """NICKLEN says how much of it there is to be had."""
    talk = Talk(nick="longer-than-nine")
    talk.connect()
    talk.hears(
        ":srv 432 * x :Erroneous", ":srv 001 longer-th :x", ":srv 005 longer-th NICKLEN=9 :x", ":srv 376 longer-th :x"
    )

    assert [] == sent(talk.waits(80))


def test_the_nick_is_tried_again_with_longer_pauses() -> None:
    """After 15 s, 30, 60 and so on up to ten minutes; only the login may ask services."""
    talk = elsewhere()
    times = []
    for _ in range(10):
        begin = talk.now
        while not (lines := [one for one in sent(talk.waits(1)) if not one.startswith("PING")]):
            talk.hears("PONG x")
        times.append(round(talk.now - begin))
        assert ["NICK omnibot"] == lines
        talk.hears(":srv 433 omnibot_ omnibot :in use")

    assert 600 == max(times)
    assert sorted(times) == times
    assert times[:3] == [15, 30, 60]


def test_who_is_logged_in_asks_services_first() -> None:
    """By turns, for not all services have both; the login proves who asks."""
    talk = Talk(sasl=PLAIN)
    talk.connect()
    talk.hears(":srv CAP * LS :sasl", ":srv CAP * ACK :sasl", "AUTHENTICATE +", ":srv 433 * omnibot :in use")
    talk.hears(":srv 903 omnibot_ :ok", ":srv 001 omnibot_ :x", ":srv 376 omnibot_ :x")

    assert ["PRIVMSG NickServ :GHOST omnibot", "NICK omnibot"] == sent(talk.waits(2))
    talk.hears(":srv 433 omnibot_ omnibot :in use")
    assert ["PRIVMSG NickServ :REGAIN omnibot", "NICK omnibot"] == sent(talk.waits(31))
    talk.hears(":srv 437 omnibot_ omnibot :held")
    assert ["PRIVMSG NickServ :RELEASE omnibot", "NICK omnibot"] == sent(talk.waits(61))
    talk.hears(":omnibot_!u@h NICK :omnibot")
    assert "omnibot" == talk.machine.nick
    assert [] == [line for line in sent(talk.waits(80)) if "NICK" in line]


def test_services_of_another_name() -> None:
    """As the configuration says; their host is no part of the nick."""
    talk = Talk(sasl=PLAIN, nickserv="AuthServ@services.example.org")
    talk.connect()
    talk.hears(":srv CAP * LS :sasl", ":srv CAP * ACK :sasl", "AUTHENTICATE +", ":srv 433 * omnibot :in use")
    talk.hears(":srv 903 omnibot_ :ok", ":srv 001 omnibot_ :x", ":srv 376 omnibot_ :x")

    assert ["PRIVMSG AuthServ :GHOST omnibot", "NICK omnibot"] == sent(talk.waits(2))


@pytest.mark.parametrize("line", [":omnibot!u@h QUIT :bye", ":OMNIBOT!u@h NICK other"])
def test_a_nick_that_is_given_up_is_taken_at_once(line: str) -> None:
    """Before somebody else does."""
    talk = elsewhere()
    talk.hears(line)

    assert ["NICK omnibot"] == sent(talk.waits(0))


def test_a_stranger_who_leaves_is_no_reason() -> None:
    """Only the wanted nick matters."""
    talk = elsewhere()
    talk.hears(":ada!u@h QUIT :bye")

    assert [] == talk.waits(0)


def test_services_that_rename_the_bot() -> None:
    """It knows what it is called, and wants its nick back."""
    talk = Talk()
    talk.registers()
    talk.hears(":omnibot!u@h NICK Guest123")

    assert "Guest123" == talk.machine.nick
    assert ["NICK omnibot"] == sent(talk.waits(16))


def test_another_ones_change_is_another_ones() -> None:
    """Also where the nick is only alike."""
    talk = Talk()
    talk.registers()
    talk.hears(":omnibot2!u@h NICK ada", ":omnibot!u@h NICK", ":omnibot!u@h NICK :two words")

    assert "omnibot" == talk.machine.nick
