"""From the first line to the welcome, by every path that a server may take."""

import base64
from typing import Any

import pytest

from adapters.irc.effects import Drop, Ready, Refused, Said
from irc_talk import ALL, Talk, only, sent
from omnibot.provider import Secret

INTRODUCED = ["NICK omnibot", "USER omnibot 0 * omnibot"]
PLAIN = {"username": "bot", "password": Secret("hunter2")}
SCRAM = {"mechanism": "SCRAM-SHA-256", **PLAIN}
ANSWER = base64.b64encode(b"bot\0bot\0hunter2").decode()
WELCOME = (":srv 001 omnibot :Welcome", ":srv 376 omnibot :End")


def logging_in(**options: Any) -> Talk:
    """Return a talk that has come to AUTHENTICATE."""
    talk = Talk(**{"sasl": PLAIN, **options})
    talk.connect()
    talk.hears(":srv CAP * LS :sasl")
    assert "AUTHENTICATE" in sent(talk.hears(":srv CAP * ACK :sasl"))[0]
    return talk


def test_the_first_line_asks_for_capabilities() -> None:
    """Over TLS nick and user follow at once; a password of the server's stands before them."""
    assert ["CAP LS 302", "PASS :two words", *INTRODUCED] == sent(Talk(password=Secret("two words")).connect())


def test_everything_there_is() -> None:
    """Asked for in one line, and in force when it is acknowledged."""
    talk = Talk()
    talk.connect()

    assert [f"CAP REQ :{ALL}"] == sent(talk.hears(f":srv CAP * LS :{ALL} away-notify sasl=PLAIN sts=duration=1"))
    assert ["CAP END"] == sent(talk.hears(f":srv CAP * ACK :{ALL} "))
    assert all(map(talk.machine.has, ALL.split()))
    assert not talk.machine.has("away-notify")


def test_capabilities_over_several_lines() -> None:
    """An asterisk says that more will come."""
    talk = Talk()
    talk.connect()

    assert [] == talk.hears(":srv CAP * LS * :batch setname=x", ":srv CAP * LS * :away-notify")
    assert ["CAP REQ :batch server-time setname"] == sent(talk.hears(":srv CAP * LS :server-time"))


@pytest.mark.parametrize("line", [":srv CAP * LS :", ":srv CAP * LS", ":srv CAP * LS :away-notify", "CAP * LS *"])
def test_a_server_that_has_nothing_of_interest(line: str) -> None:
    """Is not kept waiting."""
    talk = Talk()
    talk.connect()

    assert ["CAP END"] == sent(talk.hears(line))


def test_what_is_refused_together_is_asked_for_one_by_one() -> None:
    """What can be had is had (CAP NAK refuses the whole of a request)."""
    talk = Talk()
    talk.connect()
    talk.hears(":srv CAP * LS :batch setname server-time")

    assert ["CAP REQ batch", "CAP REQ server-time", "CAP REQ setname"] == sent(
        talk.hears(":srv CAP * NAK :batch server-time setname")
    )
    assert [] == talk.hears(":srv CAP * ACK :batch", ":srv CAP * NAK :server-time")
    assert ["CAP END"] == sent(talk.hears(":srv CAP * ACK :setname"))
    assert [True, False, True] == [talk.machine.has(one) for one in ("batch", "server-time", "setname")]


def test_a_request_may_be_acknowledged_in_pieces() -> None:
    """And in any order, with the modifiers of old."""
    talk = Talk()
    talk.connect()
    talk.hears(":srv CAP * LS :batch setname")

    assert [] == talk.hears(":srv CAP * ACK :~setname")
    assert ["CAP END"] == sent(talk.hears(":srv CAP * ACK :=batch"))
    assert talk.machine.has("setname")
    talk.hears(":srv CAP * ACK :-setname")
    assert not talk.machine.has("setname")


def test_nothing_is_in_force_that_was_not_asked_for() -> None:
    """Whatever a server says."""
    talk = Talk()
    talk.connect()
    talk.hears(":srv CAP * LS :batch", ":srv CAP * ACK :account-tag", ":srv CAP * NAK :echo-message")

    assert not talk.machine.has("account-tag")


def test_a_nak_that_names_nothing_is_for_what_is_under_way() -> None:
    """Some servers forget to repeat it."""
    talk = Talk()
    talk.connect()
    talk.hears(":srv CAP * LS :batch")

    assert ["CAP END"] == sent(talk.hears(":srv CAP * NAK :"))


def test_capabilities_come_and_go() -> None:
    """CAP NEW and DEL, long after the welcome."""
    talk = Talk()
    talk.registers("cap-notify")

    assert ["CAP REQ account-tag"] == sent(talk.hears(":srv CAP omnibot NEW :account-tag away-notify"))
    talk.hears(":srv CAP omnibot ACK :account-tag")
    assert talk.machine.account_tags
    assert [] == talk.hears(":srv CAP omnibot DEL :account-tag")
    assert not talk.machine.has("account-tag")
    assert ["CAP REQ account-tag"] == sent(talk.hears(":srv CAP omnibot NEW :account-tag"))


@pytest.mark.parametrize(
    "line", [":srv 421 omnibot CAP :Unknown command", ":srv 451 * :You have not registered", ":srv 410 * LS :Invalid"]
)
@pytest.mark.parametrize("tls", [True, False])
def test_a_server_that_knows_no_capabilities(line: str, tls: bool) -> None:
    """Old networks work too; nick and user are said once."""
    talk = Talk(tls=tls)
    lines = sent(talk.connect(tls=tls)) + sent(talk.hears(line, line))

    assert ["CAP LS 302", *INTRODUCED] == lines
    assert [] == only(Ready, talk.hears(WELCOME[0]))
    assert [Ready("srv", False)] == only(Ready, talk.hears(WELCOME[1]))


def test_a_server_that_says_nothing_to_cap() -> None:
    """Over a plain connection the rest follows after five seconds."""
    talk = Talk(tls=False)
    talk.connect(tls=False)

    assert [] == talk.waits(4.9)
    assert INTRODUCED == sent(talk.waits(0.2))


def test_no_welcome() -> None:
    """A server that leaves the bot waiting is left after a minute."""
    talk = Talk()
    talk.connect()
    talk.hears(":srv NOTICE * :*** Looking up your hostname")

    assert [] == talk.waits(59)
    assert [Drop("no welcome within 60 seconds")] == talk.waits(2)
    assert [] == talk.hears(*WELCOME)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (":srv 464 omnibot :Password incorrect", "the network does not accept the password: Password incorrect"),
        (":srv 465 omnibot :You are banned: spam\x03", "the network has banned the bot: You are banned: spam"),
        (":srv 463 omnibot", "the network does not let this address in"),
    ],
)
def test_who_is_turned_away_for_good(line: str, what: str) -> None:
    """Comes not back in a storm: said once, with the cure."""
    talk = Talk()
    talk.connect()
    [effect] = talk.hears(line, "ERROR :Closing Link")

    assert isinstance(effect, Refused)
    assert effect.what.startswith(what[:30])
    assert effect.cure
    assert effect.what.isprintable()


def test_the_network_closes_the_connection() -> None:
    """Throttled, say: it is tried again, by whoever drives the machine."""
    talk = Talk()
    talk.connect()

    assert [Drop("the network closed the connection: Closing Link: Trying to reconnect too fast")] == talk.hears(
        "ERROR :Closing Link: Trying to reconnect too fast"
    )


# ------------------------------------------------------------------ SASL


@pytest.mark.parametrize(
    "plus", ["AUTHENTICATE +", "AUTHENTICATE :+", "@time=2026-01-01T00:00:00.000Z :srv AUTHENTICATE :+"]
)
def test_a_login(plus: str) -> None:
    """However the server writes its plus sign; CAP END comes after it."""
    talk = Talk(sasl=PLAIN)
    talk.connect()

    assert ["CAP REQ :batch sasl"] == sent(talk.hears(":srv CAP * LS :batch sasl=EXTERNAL,PLAIN"))
    assert ["AUTHENTICATE PLAIN"] == sent(talk.hears(":srv CAP * ACK :batch sasl"))
    assert [f"AUTHENTICATE {ANSWER}"] == sent(talk.hears(plus))
    assert ["CAP END"] == sent(
        talk.hears(
            ":srv 900 omnibot omnibot!u@h bot :You are now logged in as bot", ":srv 903 omnibot :SASL successful"
        )
    )
    assert 1 == len(only(Ready, talk.hears(*WELCOME)))


def test_every_connection_logs_in_anew() -> None:
    """SASL is run on each reconnect."""
    talk = logging_in()
    talk.hears("AUTHENTICATE +", ":srv 903 omnibot :ok", *WELCOME)
    talk.loses()
    talk.connect()
    talk.hears(":srv CAP * LS :sasl")

    assert ["AUTHENTICATE PLAIN"] == sent(talk.hears(":srv CAP * ACK :sasl"))


def test_a_long_password_goes_in_chunks() -> None:
    """Of 400, none of the lines over the limit."""
    talk = logging_in(sasl={"username": "bot", "password": Secret("x" * 592)})
    lines = sent(talk.hears("AUTHENTICATE +"))

    assert [413, 413, 14] == [len(line) for line in lines]
    assert "AUTHENTICATE +" == lines[-1]


def test_scram_is_refused_where_the_server_proves_nothing() -> None:
    """A success that comes before the proof may be anybody's who sits between."""
    talk = logging_in(sasl=SCRAM)
    talk.hears("AUTHENTICATE +")
    [refused] = only(Refused, talk.hears(":srv 903 omnibot :ok"))

    assert "before it proved" in refused.what


def test_scram_with_a_wrong_challenge_is_broken_off() -> None:
    """And says why."""
    talk = logging_in(sasl=SCRAM)
    talk.hears("AUTHENTICATE +")
    effects = talk.hears(f"AUTHENTICATE {base64.b64encode(b'r=x,s=AAAA,i=4096').decode()}")

    assert ["AUTHENTICATE *"] == sent(effects)
    assert "nonce" in only(Refused, effects)[0].what


@pytest.mark.parametrize("code", ["902", "904", "905", "908"])
def test_a_failed_login_is_final(code: str) -> None:
    """Said once, with the cure, and not tried again: services lock accounts."""
    talk = logging_in()
    [effect] = talk.hears(f":srv {code} omnibot PLAIN :no", ":srv 904 omnibot :no", *WELCOME)

    assert isinstance(effect, Refused)
    assert "sasl" in effect.cure
    assert "hunter2" not in repr(effect)


@pytest.mark.parametrize("code", ["902", "904", "905", "906", "908"])
def test_a_failed_login_that_is_not_required(code: str) -> None:
    """Is said, and the bot goes on as anybody."""
    talk = logging_in(require_sasl=False)
    effects = talk.hears(f":srv {code} omnibot PLAIN :no", ":srv 904 omnibot :no")

    assert ["CAP END"] == sent(effects)
    assert 1 == len(only(Said, effects))
    assert 1 == len(only(Ready, talk.hears(*WELCOME)))


def test_already_logged_in() -> None:
    """907 is no failure."""
    assert ["CAP END"] == sent(logging_in().hears(":srv 907 omnibot :already"))


def test_a_mechanism_that_is_not_offered() -> None:
    """No password is sent to find out."""
    talk = Talk(sasl=PLAIN)
    talk.connect()
    talk.hears(":srv CAP * LS :sasl=EXTERNAL,SCRAM-SHA-256")
    effects = talk.hears(":srv CAP * ACK :sasl")

    assert [] == sent(effects)
    assert "EXTERNAL, SCRAM-SHA-256 and not by PLAIN" in only(Refused, effects)[0].what


@pytest.mark.parametrize(
    "lines", [[":srv CAP * LS :batch", ":srv CAP * ACK :batch"], [":srv CAP * LS :sasl", ":srv CAP * NAK :sasl"]]
)
def test_services_are_down(lines: list[str]) -> None:
    """The network offers no login just now: the bot stays away until it does, without a person's help."""
    talk = Talk(sasl=PLAIN)
    talk.connect()
    effects = talk.hears(*lines)

    assert [Drop("the network offers no login just now")] == only(Drop, effects)
    assert [] == [line for line in sent(effects) if line == "CAP END"]
    talk.loses()
    talk.connect()
    assert [] == only(Said, talk.hears(*lines))


def test_services_go_down_during_the_login() -> None:
    """Servers tell so by 906: nobody said no, and the bot tries again."""
    talk = logging_in()
    effects = talk.hears("AUTHENTICATE +", ":srv 906 omnibot :SASL authentication aborted", *WELCOME)

    assert [Drop("services broke the login off")] == only(Drop, effects)
    assert [] == only(Refused, effects)


def test_services_are_down_and_not_required() -> None:
    """The bot goes on, and logs in when they are back."""
    talk = Talk(sasl=PLAIN, require_sasl=False)
    talk.connect()
    assert ["CAP END"] == sent(talk.hears(":srv CAP * LS :"))
    talk.hears(*WELCOME)

    assert ["CAP REQ sasl"] == sent(talk.hears(":srv CAP omnibot NEW :sasl"))
    assert ["AUTHENTICATE PLAIN"] == sent(talk.hears(":srv CAP omnibot ACK :sasl"))
    assert [f"AUTHENTICATE {ANSWER}"] == sent(talk.hears("AUTHENTICATE +"))
    assert [] == talk.hears(":srv 903 omnibot :ok")


def test_services_come_back_with_sasl_still_in_force() -> None:
    """After a logout by a restart of theirs."""
    talk = logging_in()
    talk.hears("AUTHENTICATE +", ":srv 903 omnibot :ok", *WELCOME, ":srv 901 omnibot omnibot!u@h :logged out")

    assert ["AUTHENTICATE PLAIN"] == sent(talk.hears(":srv CAP omnibot NEW :sasl=PLAIN"))


def test_a_login_that_fails_later_ends_nothing() -> None:
    """The bot is in, and stays."""
    talk = Talk(sasl=PLAIN, require_sasl=False)
    talk.registers("")
    talk.hears(":srv CAP omnibot NEW :sasl", ":srv CAP omnibot ACK :sasl", "AUTHENTICATE +")

    assert [Said] == [type(one) for one in talk.hears(":srv 904 omnibot :no")]


def test_services_that_do_not_answer() -> None:
    """For half a minute: they may be back by the next connection."""
    talk = logging_in()

    assert [] == only(Drop, talk.waits(29))
    assert [Drop("services did not answer the login")] == only(Drop, talk.waits(2))


def test_services_that_do_not_answer_and_are_not_required() -> None:
    """The bot goes on without."""
    assert ["CAP END"] == sent(logging_in(require_sasl=False).waits(31))


@pytest.mark.parametrize("line", [":srv 421 omnibot CAP :Unknown command", ":srv NOTICE * :hello"])
def test_a_required_login_on_a_server_without_capabilities(line: str) -> None:
    """The welcome comes, and the bot does not stay."""
    talk = Talk(sasl=PLAIN)
    talk.connect()

    assert 1 == len(only(Refused, talk.hears(line, *WELCOME)))


def test_a_server_without_authenticate() -> None:
    """It offers sasl, and does not know the command."""
    [refused] = only(Refused, logging_in().hears(":srv 421 omnibot AUTHENTICATE :Unknown command"))

    assert "knows no login" in refused.what


def test_nothing_answers_a_challenge_that_nobody_asked_for() -> None:
    """Neither before, nor without a login in the configuration, nor after."""
    talk = Talk()
    talk.connect()

    assert [] == talk.hears("AUTHENTICATE +", ":srv 903 omnibot :ok", ":srv 904 omnibot :no")
    done = logging_in()
    done.hears("AUTHENTICATE +", ":srv 903 omnibot :ok")
    assert [] == done.hears("AUTHENTICATE +")


def test_a_welcome_without_a_nick_is_none() -> None:
    """The bot has to know what it is called."""
    talk = Talk()
    talk.connect()

    assert [] == only(Ready, talk.hears(":srv 001", ":srv 376 omnibot :x"))
