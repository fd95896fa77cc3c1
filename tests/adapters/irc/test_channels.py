"""Into the wanted channels, and back into them."""

from collections.abc import Iterable
from typing import Any

import pytest

from adapters.irc.channels import MAX_INVITED
from adapters.irc.effects import Effect, Said
from adapters.irc.settings import ChannelPart
from irc_talk import Talk, only, sent
from omnibot.provider import Secret


def inside(**options: Any) -> Talk:
    """Return a talk with the bot in #c."""
    talk = Talk(**{"channels": ["#c"], **options})
    talk.registers()
    talk.hears(":omnibot!u@h JOIN #c")
    assert talk.machine.joined("#c")
    return talk


def joins(effects: Iterable[Effect]) -> list[str]:
    return [line for line in sent(effects) if line.startswith("JOIN")]


def until_join(talk: Talk) -> int:
    """Return how many seconds go by until #c is tried again, on a server that is there all the time."""
    begin = talk.now
    while not (lines := joins(talk.waits(1))):
        talk.hears("PONG x")

    assert ["JOIN #c"] == lines
    return round(talk.now - begin)


def test_channels_are_joined_together() -> None:
    """As many at once as the server says, those with a key first."""
    talk = Talk(channels=["#a", "#b", ChannelPart(name="#k", key=Secret("sesame")), "#d"])

    assert ["JOIN #k,#a,#b sesame", "JOIN #d"] == joins(talk.registers(isupport="TARGMAX=JOIN:3"))


def test_a_hundred_channels() -> None:
    """Ten a line where the server does not say how many, and no line over the limit."""
    talk = Talk(channels=[f"#{'x' * 100}{number}" for number in range(100)])
    lines = joins(talk.registers(isupport="TARGMAX=JOIN:"))

    assert 100 == sum(len(line.split(",")) for line in lines)
    assert 510 >= max(map(len, lines))
    assert 10 == len(joins(Talk(channels=[f"#{number}" for number in range(100)]).registers()))


def test_a_channel_written_twice_is_one() -> None:
    """By the network's own casemapping."""
    assert ["JOIN #a[,#b"] == joins(Talk(channels=["#a[", "#A{", "#b"]).registers())


def test_after_a_cut_all_are_joined_again() -> None:
    """What is wanted stays."""
    talk = inside()
    talk.loses()

    assert not talk.machine.joined("#c")
    assert ["JOIN #c"] == joins(talk.registers())


def test_who_is_put_into_a_channel_before_the_end_of_the_welcome() -> None:
    """Some networks do: it is not joined again."""
    talk = Talk(channels=["#c"])
    talk.connect()
    talk.hears(":srv CAP * LS :", ":srv 001 omnibot :x", ":omnibot!u@h JOIN #c", ":srv 353 omnibot = #c :@ada omnibot")

    assert [] == joins(talk.hears(":srv 376 omnibot :x"))
    assert talk.machine.joined("#c")
    assert talk.machine.roster.in_channel("ada", "#c")
    assert [] == joins(talk.waits(80))


@pytest.mark.parametrize("code", ["437", "471", "473", "474", "475", "477", "489", "520"])
def test_a_channel_that_cannot_be_joined_now_is_tried_again(code: str) -> None:
    """With longer and longer pauses; the operator hears of it once."""
    talk = Talk(channels=["#c"])
    talk.registers()
    refusal = f":srv {code} omnibot #c :no"

    assert 1 == len(only(Said, talk.hears(refusal)))
    times = []
    for _ in range(8):
        times.append(until_join(talk))
        assert [] == only(Said, talk.hears(refusal))
    assert [60, 120, 240, 480, 960, 1920, 3600, 3600] == times


def test_a_join_without_an_answer_is_tried_again() -> None:
    """Whatever became of it."""
    talk = Talk(channels=["#c"])
    talk.registers()

    assert ["JOIN #c"] == joins(talk.waits(61))


@pytest.mark.parametrize("code", ["403", "405", "448", "476", "479", "926"])
def test_a_channel_that_cannot_be_is_left_alone(code: str) -> None:
    """Until the next connection."""
    talk = Talk(channels=["#c"])
    talk.registers()
    talk.hears(f":srv {code} omnibot #c :no")

    assert [] == joins(talk.waits(80))
    talk.loses()
    assert ["JOIN #c"] == joins(talk.registers())


def test_one_that_leads_to_another() -> None:
    """470: the bot does not stay where nobody wanted it."""
    talk = Talk(channels=["#c"])
    talk.registers()

    assert ["PART ##c"] == sent(talk.hears(":srv 470 omnibot #c ##c :Forwarding"))
    assert [] == sent(
        talk.hears(":srv 470 omnibot #c #C :Forwarding", ":srv 470 omnibot", ":srv 470 omnibot #c nick :x")
    )


def test_a_kick_is_no_reason_to_stay_away_for_ever() -> None:
    """Nor to come back at once; the pauses grow with each."""
    talk = inside()
    effects = talk.hears(":op!u@h KICK #c omnibot :out")

    assert ["the bot was kicked from #c by op"] == [one.text for one in only(Said, effects)]
    assert not talk.machine.joined("#c")
    times = [until_join(talk)]
    for _ in range(6):
        talk.hears(":omnibot!u@h JOIN #c", ":op!u@h KICK #c omnibot :out")
        times.append(until_join(talk))
    assert [120, 240, 480, 960, 1920, 3600, 3600] == times


def test_after_an_hour_a_kick_is_the_first_one_again() -> None:
    """The channel has had its peace."""
    talk = inside()
    for _ in range(50):
        talk.waits(80)
        talk.hears("PONG x")
    talk.hears(":op!u@h KICK #c omnibot :out")

    assert 60 == until_join(talk)


def test_who_does_not_want_the_bot_back() -> None:
    """rejoin: false; an invitation brings it back."""
    talk = inside(rejoin=False)
    talk.hears(":op!u@h KICK #c omnibot :out")

    assert [] == joins(talk.waits(80))
    assert ["JOIN #c"] == joins(talk.hears(":op!u@h INVITE omnibot #c"))


def test_others_are_kicked() -> None:
    """That is not about the bot."""
    talk = inside()
    talk.hears(":srv 353 omnibot = #c :ada bob", ":op!u@h KICK #c ada,bob :out")

    assert talk.machine.joined("#c")
    assert ["omnibot"] == talk.machine.roster.members("#c")


def test_made_to_leave() -> None:
    """As after a kick."""
    talk = inside()
    talk.hears(":omnibot!u@h PART #C :made to")

    assert not talk.machine.joined("#c")
    assert 120 == until_join(talk)


def test_an_invitation_to_a_configured_channel_is_followed() -> None:
    """At once, though its next try is an hour away; to others it is not."""
    talk = Talk(channels=["#c"])
    talk.registers()
    talk.hears(":srv 473 omnibot #c :invite only")

    assert ["JOIN #c"] == joins(talk.hears(":op!u@h INVITE omnibot #C"))
    assert [] == joins(talk.hears(":op!u@h INVITE omnibot #other", ":op!u@h INVITE ada #c"))


def test_invitations_to_anywhere() -> None:
    """They hold until a kick, over connections, and there are not too many."""
    talk = Talk(invites="any")
    talk.registers()

    assert ["JOIN #x"] == joins(talk.hears(":op!u@h INVITE omnibot :#x"))
    talk.hears(":omnibot!u@h JOIN #x")
    talk.loses()
    assert ["JOIN #x"] == joins(talk.registers())
    talk.hears(":omnibot!u@h JOIN #x", ":op!u@h KICK #x omnibot :out")
    assert [] == joins(talk.waits(80))
    effects = [one for number in range(MAX_INVITED + 1) for one in talk.hears(f":op!u@h INVITE omnibot #n{number}")]
    assert MAX_INVITED == len(joins(effects))
    assert 1 == len(only(Said, effects))


@pytest.mark.parametrize("channel", ["nick", "#a,#b", ":#a b", ""])
def test_an_invitation_to_what_is_no_channel(channel: str) -> None:
    """Nothing that somebody else writes becomes another command."""
    talk = Talk(invites="any")
    talk.registers()

    assert [] == talk.hears(f":op!u@h INVITE omnibot {channel}")


def test_no_invitations() -> None:
    """invites: none."""
    talk = Talk(channels=["#c"], invites="none")
    talk.registers()

    assert [] == talk.hears(":op!u@h INVITE omnibot #c")


def test_an_invitation_that_fails_is_forgotten() -> None:
    """Whoever invited may do so again."""
    talk = Talk(invites="any")
    talk.registers()
    talk.hears(":op!u@h INVITE omnibot #x", ":srv 474 omnibot #x :banned")

    assert [] == joins(talk.waits(80))


def test_where_nobody_wanted_the_bot() -> None:
    """An operator of the network put it there: it hears, and comes not back by itself."""
    talk = Talk()
    talk.registers()
    talk.hears(":omnibot!u@h JOIN #x")

    assert talk.machine.joined("#x")
    talk.hears(":op!u@h KICK #x omnibot :out")
    assert [] == joins(talk.waits(80))
