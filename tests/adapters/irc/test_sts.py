"""A server that was met over TLS is not met without it again (IRCv3 Strict Transport Security)."""

from typing import Any

import pytest

from adapters.irc.effects import Forget, Keep, Ready, Upgrade
from adapters.irc.machine import Machine, Where
from adapters.irc.sts import Policy, Sts, read
from irc_talk import WALL, Talk, only, sent

PLAIN: dict[str, Any] = {"tls": False, "port": 6667}


def test_who_wants_tls_needs_no_policy() -> None:
    """And none changes where that is."""
    talk = Talk({Machine.kept_key(Talk().settings): f"7000 1000 {WALL + 1000:.0f}"})

    assert Where("irc.example.org", 6697, True) == talk.machine.where()


def test_a_plain_connection_is_upgraded_at_once() -> None:
    """Nothing but CAP LS has gone out by then: neither nick nor password."""
    talk = Talk(**PLAIN, allow_plain=True)

    assert Where("irc.example.org", 6667, False) == talk.machine.where()
    assert ["CAP LS 302"] == sent(talk.connect(tls=False))
    assert [Upgrade(6697)] == talk.hears(":srv CAP * LS :multi-prefix sts=port=6697,duration=5")
    assert [] == talk.hears("PING x")
    assert Where("irc.example.org", 6697, True) == talk.machine.where()


@pytest.mark.parametrize("value", ["sts", "sts=", "sts=duration=5", "sts=port=0", "sts=port=66666", "sts=port=x"])
def test_a_policy_without_a_port_upgrades_nothing(value: str) -> None:
    """The specification: an invalid policy is ignored."""
    talk = Talk(**PLAIN)
    talk.connect(tls=False)

    assert "NICK omnibot" in sent(talk.hears(f":srv CAP * LS :{value}"))
    assert not talk.machine.where().tls


def test_a_failed_upgrade_does_not_go_back_to_plain() -> None:
    """Else whoever breaks the TLS connection would have the plain one."""
    talk = Talk(**PLAIN)
    talk.connect(tls=False)
    talk.hears(":srv CAP * LS :sts=port=6697")
    talk.loses()

    assert talk.machine.where().tls


def test_the_policy_is_kept_and_begins_anew_when_the_connection_ends() -> None:
    """Over restarts, and for as long as the server said."""
    talk = Talk(**PLAIN)
    talk.connect(tls=False)
    talk.hears(":srv CAP * LS :sts=port=6697")
    talk.loses()
    talk.connect(tls=True)
    kept = only(Keep, talk.hears(":srv CAP * LS :sts=port=6697,duration=1000"))
    talk.waits(50)
    kept += only(Keep, talk.loses())

    key = Machine.kept_key(talk.settings)
    assert [Keep(key, f"6697 1000 {WALL + 1000:.0f}"), Keep(key, f"6697 1000 {WALL + 1050:.0f}")] == kept
    again = Talk({kept[-1].key: kept[-1].value}, **PLAIN)
    assert again.machine.where().tls
    again.wall += 1051
    assert not again.machine.where().tls


def test_a_duration_of_nothing_ends_the_policy() -> None:
    """Said over TLS only: over a plain connection anybody may say it."""
    key = Machine.kept_key(Talk(**PLAIN).settings)
    talk = Talk({key: f"6697 1000 {WALL + 1000:.0f}"}, **PLAIN)
    talk.connect(tls=True)

    assert [Forget(key)] == only(Forget, talk.hears(":srv CAP * LS :sts=duration=0"))
    assert not talk.machine.where().tls


def test_a_duration_over_a_plain_connection_changes_nothing() -> None:
    """Whoever sits between could end the policy, or make one for a port of theirs."""
    talk = Talk(**PLAIN)
    talk.connect(tls=False)

    assert [] == only(Keep, talk.hears(":srv CAP * LS :sts=duration=1000")) + talk.loses()


def test_a_policy_cannot_be_withdrawn_as_a_capability_and_is_never_asked_for() -> None:
    """The specification says so."""
    talk = Talk()
    talk.connect()
    talk.hears(":srv CAP * LS :sts=duration=1000")
    effects = talk.hears(":srv CAP * DEL :sts", ":srv 001 omnibot :x", ":srv 376 omnibot :x")

    assert 1 == len(only(Ready, effects))
    assert not [line for line in sent(effects) if "sts" in line]
    assert 1 == len(only(Keep, talk.loses()))


def test_a_policy_may_come_later() -> None:
    """By CAP NEW."""
    talk = Talk(**PLAIN)
    talk.registers("", tls=False)

    assert [Upgrade(7000)] == talk.hears(":srv CAP omnibot NEW :sts=port=7000")


@pytest.mark.parametrize("kept", ["", "x", "0 1 1", "99999 1 1", "6697 1", "6697 -1 1", "6697 1 1e9"])
def test_what_is_no_policy_is_none(kept: str) -> None:
    """A row that somebody spoilt stops nothing."""
    assert read(kept) is None
    sts = Sts("h", 1, False)
    sts.recall(kept)

    assert (1, False) == sts.where(0.0)


def test_a_policy_is_read_as_it_is_written() -> None:
    """Over a restart."""
    policy = Policy(6697, 1000, 2000.0)

    assert policy == read(str(policy))


def test_a_policy_is_not_believed_for_ever() -> None:
    """Ten years are enough, and no number breaks the row."""
    sts = Sts("h", 1, True)
    [effect] = sts.learn("duration=999999999999", 0.0)

    assert isinstance(effect, Keep)
    assert read(effect.value) is not None
    assert [] == Sts("h", 1, True).learn("duration=99999999999999999999", 0.0)
