"""Denying comes before allowing, a guest is nobody's namesake, and nothing acts for people on a changed network."""

import pytest

from omnibot.command import Command
from omnibot.errors import Denied
from omnibot.identity import Assurance, Guest, Identity, Speaker
from omnibot.policy import Policy, Rule

ADA = Identity("libera", "ada")
EVE = Identity("libera", "eve")
NICK = Guest("libera", "ada")
STRONG, ACCOUNT = Assurance.STRONG, Assurance.ACCOUNT


def command(*path: str, minimum: Assurance | None = None, linked: bool = False) -> Command:
    return Command(path, path[0], lambda: None, minimum=minimum, providers=("demo",) if linked else ())


PING, API, WIPE = command("ping"), command("api", "get"), command("wipe")


def allowed(policy: Policy, speaker: Speaker, what: Command = PING) -> bool:
    return policy.allows(speaker, None if isinstance(speaker, Guest) else STRONG, what)


# --------------------------------------------------------------------------------------- assurance


@pytest.mark.parametrize("what", [command("x", minimum=ACCOUNT), command("x", linked=True)])
def test_what_wants_to_know_who_you_are_is_not_for_guests(what: Command) -> None:
    """Nor for a message that nobody vouches for, whoever it says it is from."""
    cases: list[tuple[Speaker, Assurance | None]] = [(NICK, None), (ADA, None), (NICK, STRONG)]
    for speaker, assurance in cases:
        with pytest.raises(Denied, match="libera does not vouch for you"):
            Policy().check(speaker, assurance, what)


@pytest.mark.parametrize(
    ("minimum", "assurance", "fits"),
    [(None, None, True), (ACCOUNT, ACCOUNT, True), (ACCOUNT, STRONG, True), (STRONG, STRONG, True)],
)
def test_a_message_vouched_for_enough_may(minimum: Assurance, assurance: Assurance, fits: bool) -> None:
    """Stronger is as good."""
    assert fits is Policy().allows(ADA, assurance, command("x", minimum=minimum))


def test_a_weaker_proof_is_not_enough() -> None:
    """It is said that the network gives no better."""
    with pytest.raises(Denied, match="needs a stronger proof of who you are than libera gives"):
        Policy().check(ADA, ACCOUNT, command("x", minimum=STRONG))


def test_anybody_may_what_needs_nobody() -> None:
    """Without rules everything that needs no account is for everybody."""
    assert allowed(Policy(), NICK)
    assert allowed(Policy(), ADA)


# ------------------------------------------------------------------------------------------- rules


def test_a_denial_comes_first() -> None:
    """Whatever else allows it, in whatever order."""
    rules = [Rule("libera:*", "*", "allow"), Rule("libera:eve", "ping", "deny")]
    for policy in (Policy(rules), Policy(rules[::-1])):
        assert allowed(policy, ADA)
        assert not allowed(policy, EVE)
        with pytest.raises(Denied, match="does not allow you that command"):
            policy.check(EVE, STRONG, PING)


def test_a_denial_closes_nothing_for_others() -> None:
    """Nor another command."""
    policy = Policy([Rule("libera:eve", "ping", "deny")])

    assert allowed(policy, ADA)
    assert allowed(policy, EVE, WIPE)


def test_what_is_allowed_to_some_is_closed_to_the_rest() -> None:
    """An allowance names those it is for."""
    policy = Policy([Rule("libera:ada", "wipe", "allow")])

    assert allowed(policy, ADA, WIPE)
    assert not allowed(policy, EVE, WIPE)
    assert not allowed(policy, NICK, WIPE)
    assert allowed(policy, EVE, PING)


@pytest.mark.parametrize(
    ("pattern", "names", "leaves"),
    [
        ("*", [PING, API, WIPE], []),
        ("ping", [PING], [API, command("pings")]),
        ("api *", [API, command("api"), command("api", "get", "all")], [command("apis"), PING]),
        ("api get", [API], [command("api", "put"), command("api")]),
        ("p?ng", [PING], [command("png")]),
        ("[p]ing", [], [PING]),
    ],
)
def test_a_rule_names_commands_with_stars(pattern: str, names: list[Command], leaves: list[Command]) -> None:
    """By whole words; a bracket is a bracket."""
    policy = Policy([Rule("*", pattern, "deny")])

    assert not [one.name for one in names if allowed(policy, ADA, one)]
    assert [one.name for one in leaves] == [one.name for one in leaves if allowed(policy, ADA, one)]


@pytest.mark.parametrize(
    ("who", "matches"),
    [
        ("libera:ada", [ADA]),
        ("libera:*", [ADA, EVE, NICK]),
        ("*:ada", [ADA, Identity("oftc", "ada")]),
        ("LIBERA:ada", []),
        ("libera:a?a", [ADA]),
        ("libera:[ae]*", []),
        ("libera:(guest)", [NICK]),
    ],
)
def test_a_rule_names_people_by_network_and_subject(who: str, matches: list[Speaker]) -> None:
    """In the network's own spelling."""
    policy = Policy([Rule(who, "*", "deny")])
    everybody: list[Speaker] = [ADA, EVE, NICK, Identity("oftc", "ada")]

    assert matches == [one for one in everybody if not allowed(policy, one)]


def test_no_nick_is_somebodys_namesake() -> None:
    """A24: a guest who calls themselves ada gets nothing that is ada's; nor does an account called guest."""
    policy = Policy([Rule("libera:ada", "wipe", "allow"), Rule("libera:(guest)", "ping", "deny")])

    assert not allowed(policy, NICK, WIPE)
    assert not allowed(policy, NICK, PING)
    assert allowed(policy, Identity("libera", "guest"), PING)


def test_a_name_registered_anew_inherits_no_right() -> None:
    """A25: without an epoch a rule forbids in every one, and allows only where the network tells none."""
    old, new = Identity("libera", "ada", "2020"), Identity("libera", "ada", "2024")
    allow = Policy([Rule("libera:ada", "wipe", "allow")])
    named = Policy([Rule("libera:ada#2020", "wipe", "allow")])
    deny = Policy([Rule("libera:ada", "wipe", "deny")])

    assert [True, False, False] == [allowed(allow, one, WIPE) for one in (ADA, old, new)]
    assert [False, True, False] == [allowed(named, one, WIPE) for one in (ADA, old, new)]
    assert [False, False, False] == [allowed(deny, one, WIPE) for one in (ADA, old, new)]


# ------------------------------------------------------------------------------------------- trust


def test_on_a_network_that_is_another_now_nothing_acts_for_people() -> None:
    """A65: what needs no account goes on; other networks are not concerned; it can be taken back."""
    policy, linked = Policy(), command("x", linked=True)
    policy.distrust("libera")
    with pytest.raises(Denied, match="libera is not the network it was"):
        policy.check(ADA, STRONG, linked)
    distrusted = (policy.trusts("libera"), allowed(policy, ADA, PING), allowed(policy, Identity("oftc", "ada"), linked))
    policy.trust("libera")

    assert (False, True, True) == distrusted
    assert policy.trusts("libera")
    assert allowed(policy, ADA, linked)


def test_an_admin_is_named_exactly() -> None:
    """No star, no epoch left out, no other network."""
    policy = Policy(admins=["libera:ada", "home:@bob:example.org", "libera:old#2020", "libera:*"])

    assert policy.is_admin(ADA)
    assert policy.is_admin(Identity("home", "@bob:example.org"))
    assert policy.is_admin(Identity("libera", "old", "2020"))
    assert not policy.is_admin(Identity("libera", "old"))
    assert not policy.is_admin(Identity("libera", "ada", "2020"))
    assert not policy.is_admin(Identity("oftc", "ada"))
    assert not policy.is_admin(EVE)
