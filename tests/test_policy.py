"""Denying comes before allowing, a guest is nobody's namesake, and nothing acts for people on a changed network."""

from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.irc import fold
from omnibot.command import Command
from omnibot.errors import Denied
from omnibot.identity import Assurance, Guest, Identity, Speaker
from omnibot.message import Channel
from omnibot.policy import Policy, Room, Rule

ADA = Identity("libera", "ada")
EVE = Identity("libera", "eve")
NICK = Guest("libera", "ada")
STRONG, ACCOUNT = Assurance.STRONG, Assurance.ACCOUNT
ROOM = Channel("libera", "#ops", name="#Ops")
PRIVATE = Channel("libera", "ada", private=True)


def command(*path: str, minimum: Assurance | None = None, linked: bool = False) -> Command:
    return Command(path, path[0], lambda: None, minimum=minimum, providers=("demo",) if linked else ())


PING, API, WIPE = command("ping"), command("api", "get"), command("wipe")


def allowed(policy: Policy, speaker: Speaker, what: Command = PING) -> bool:
    return policy.allows(speaker, None if isinstance(speaker, Guest) else STRONG, what, ROOM)


# --------------------------------------------------------------------------------------- assurance


@pytest.mark.parametrize("what", [command("x", minimum=ACCOUNT), command("x", linked=True)])
def test_what_wants_to_know_who_you_are_is_not_for_guests(what: Command) -> None:
    """Nor for a message that nobody vouches for, whoever it says it is from."""
    cases: list[tuple[Speaker, Assurance | None]] = [(NICK, None), (ADA, None), (NICK, STRONG)]
    for speaker, assurance in cases:
        with pytest.raises(Denied, match="libera does not vouch for you"):
            Policy().check(speaker, assurance, what, ROOM)


@pytest.mark.parametrize(
    ("minimum", "assurance", "fits"),
    [(None, None, True), (ACCOUNT, ACCOUNT, True), (ACCOUNT, STRONG, True), (STRONG, STRONG, True)],
)
def test_a_message_vouched_for_enough_may(minimum: Assurance, assurance: Assurance, fits: bool) -> None:
    """Stronger is as good."""
    assert fits is Policy().allows(ADA, assurance, command("x", minimum=minimum), ROOM)


def test_a_weaker_proof_is_not_enough() -> None:
    """It is said that the network gives no better."""
    with pytest.raises(Denied, match="needs a stronger proof of who you are than libera gives"):
        Policy().check(ADA, ACCOUNT, command("x", minimum=STRONG), ROOM)


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
            policy.check(EVE, STRONG, PING, ROOM)


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
        policy.check(ADA, STRONG, linked, ROOM)
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
    assert not policy.is_admin(Identity("libera", "old#2020")), "an epoch is no part of a name"


# ----------------------------------------------------------------------------------------- spelling

FOLDS = {"libera": fold}


@pytest.mark.parametrize("who", ["libera:Eve[x]", "libera:eve{X}", "libera:EVE[*", "*:*[X]", "*:eve{?}"])
def test_no_spelling_escapes_a_denial(who: str) -> None:
    """However it is written, and however the network tells the name; elsewhere names are what they are."""
    policy = Policy([Rule(who, "ping", "deny")], folds=FOLDS)

    for subject in ("eve{x}", "Eve[x]", "eve[x]"):
        assert not allowed(policy, Identity("libera", subject))
    assert allowed(policy, Identity("libera", "eve"))
    assert allowed(Policy([Rule("oftc:Eve", "ping", "deny")], folds=FOLDS), Identity("oftc", "eve"))


def test_no_spelling_of_a_room_escapes_what_is_said_of_it() -> None:
    """Of rooms and in rules; a local channel's, and one written as a pattern."""
    ops = Channel("libera", "#team{ops}")
    for pattern in ("libera:#Team[ops]", "lib*:*TEAM[*"):
        policies = (
            Policy(rooms=[Room(pattern, frozenset())], folds=FOLDS),
            Policy([Rule("*", "*", "deny", pattern)], folds=FOLDS),
        )
        for policy in policies:
            assert not policy.allows(ADA, STRONG, PING, ops)
            assert policy.allows(ADA, STRONG, PING, ROOM)
    discreet = Policy(rooms=[Room("libera:&Local", discreet=True)], folds=FOLDS)
    assert discreet.discreet(Channel("libera", "&local"))


def test_no_spelling_is_given_what_somebody_else_was() -> None:
    """Of what networks may tell apart: al[ce and al{ce are two people to some. Letters are one to all."""
    policy = Policy([Rule("libera:Al[ce", "wipe", "allow")], admins=["libera:Al[ce"], folds=FOLDS)

    for subject, fits in {"al[ce": True, "AL[CE": True, "al{ce": False}.items():
        assert fits is allowed(policy, Identity("libera", subject), WIPE)
        assert fits is policy.is_admin(Identity("libera", subject))
    assert (Identity("libera", "al[ce"),) == policy.admins


# ------------------------------------------------------------------------------ rooms, skills, levels


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("*", [ROOM, PRIVATE]),
        ("libera:*", [ROOM, PRIVATE]),
        ("libera:#*", [ROOM]),
        ("libera:#ops", [ROOM]),
        ("libera:#Ops", []),
        ("libera:(private)", [PRIVATE]),
        ("libera:ada", []),
        ("oftc:*", []),
    ],
)
def test_a_rule_is_about_rooms_by_their_ids(pattern: str, fits: list[Channel]) -> None:
    """Never by what they are called; every private conversation goes by one name."""
    deny, allow = Policy([Rule("*", "*", "deny", pattern)]), Policy([Rule("*", "*", "allow", pattern)])
    both = [ROOM, PRIVATE]

    assert fits == [one for one in both if not deny.allows(ADA, STRONG, PING, one)]
    assert fits == [one for one in both if allow.allows(ADA, STRONG, PING, one)]


def test_a_thread_is_in_its_channel() -> None:
    """And so is what one person alone is answered there, which is private, too."""
    thread = Channel("chat", "9", within=("5",))
    hidden = Channel("chat", "9:1", private=True, within=("9", "5"))
    for pattern, here, there in [("chat:5", False, False), ("chat:9", False, False), ("chat:(private)", True, False)]:
        policy = Policy([Rule("*", "ping", "deny", pattern)])
        assert (here, there) == tuple(policy.allows(ADA, STRONG, PING, one) for one in (thread, hidden))
    narrow = Policy(rooms=[Room("chat:5", frozenset({"help"}))])
    assert not narrow.allows(ADA, STRONG, PING, hidden)


def test_a_rule_may_name_a_skill() -> None:
    """All of its commands, whatever they are called, and no other's."""
    policy = Policy([Rule("*", "skill:a?i", "deny")])

    assert not allowed(policy, ADA, API)
    assert allowed(policy, ADA, PING)
    assert allowed(policy, ADA, Command(("api",), "other", lambda: None))


@pytest.mark.parametrize(
    ("effect", "level", "fitting"),
    [
        ("deny", ACCOUNT, [None, ACCOUNT]),
        ("deny", None, [None, ACCOUNT, STRONG]),
        ("allow", ACCOUNT, [ACCOUNT, STRONG]),
        ("allow", STRONG, [STRONG]),
        ("allow", None, [None, ACCOUNT, STRONG]),
    ],
)
def test_a_level_is_the_least_that_is_allowed_and_the_most_that_is_denied(
    effect: Literal["allow", "deny"], level: Assurance | None, fitting: list[Assurance | None]
) -> None:
    """What nobody vouches for is below each."""
    policy = Policy([Rule("*", "*", effect, level=level)])
    levels: list[Assurance | None] = [None, ACCOUNT, STRONG]

    assert fitting == [one for one in levels if policy.allows(ADA, one, PING, ROOM) is (effect == "allow")]


def test_a_room_takes_away() -> None:
    """Where several fit all of them hold; none gives back what a rule takes."""
    rooms = [Room("libera:*", frozenset({"ping", "api"})), Room("libera:#ops", frozenset({"ping", "wipe"}))]
    policy = Policy([Rule("libera:eve", "ping", "deny")], rooms=rooms)

    assert [True, False, False] == [allowed(policy, ADA, one) for one in (PING, API, WIPE)]
    assert not allowed(policy, EVE, PING)
    assert [True, True, False] == [policy.allows(ADA, STRONG, one, PRIVATE) for one in (PING, API, WIPE)]
    with pytest.raises(Denied, match="`wipe` is not to be used in private"):
        policy.check(ADA, STRONG, WIPE, PRIVATE)


def test_a_room_of_private_answers() -> None:
    """Of several patterns that fit one is enough; in private there is nothing to hide."""
    policy = Policy(rooms=[Room("libera:#ops", discreet=True), Room("libera:*")])

    assert policy.discreet(ROOM)
    assert not policy.discreet(PRIVATE)
    assert not policy.discreet(Channel("libera", "#lobby"))
    assert policy.discreet(Channel("libera", "x", within=("#ops",)))


def test_what_is_for_admins_is_for_no_one_else() -> None:
    """Nor for an admin whom the network does not vouch for just now, or whose network is another now."""
    admin = Command(("halt",), "admin", lambda: None, admin=True)
    policy = Policy([Rule("*", "*", "allow")], admins=["libera:ada"])
    may = [policy.allows(one, STRONG, admin, ROOM) for one in (ADA, EVE, NICK, Identity("libera", "ada", "2020"))]

    assert [True, False, False, False] == may
    assert not policy.allows(ADA, None, admin, ROOM)
    assert policy.hides(EVE, STRONG, admin, ROOM)
    policy.distrust("libera")
    assert not policy.allows(ADA, STRONG, admin, ROOM)


def test_what_the_operator_forbids_is_not_spoken_of() -> None:
    """What only wants a login is: it can be had."""
    linked = command("gh", linked=True)
    policy = Policy([Rule("libera:eve", "gh", "deny")])

    assert policy.hides(EVE, STRONG, linked, ROOM)
    assert not policy.hides(NICK, None, linked, ROOM)
    assert not policy.allows(NICK, None, linked, ROOM)


def test_a_decision_tells_what_made_it() -> None:
    """The rule that denies, be there others; the one that allows; the one that closed it; the room."""
    allow, deny = Rule("libera:ada", "*", "allow", at="f:1"), Rule("libera:ada", "api *", "deny", at="f:2")
    room = Room("libera:#lobby", frozenset(), at="f:3")
    policy, lobby = Policy([allow, deny], rooms=[room]), Channel("libera", "#lobby")

    assert deny is policy.decide(ADA, STRONG, API, ROOM).by
    assert allow is policy.decide(ADA, STRONG, PING, ROOM).by
    assert allow is policy.decide(EVE, STRONG, PING, ROOM).by
    assert room is policy.decide(ADA, STRONG, PING, lobby).by
    assert Policy().decide(ADA, STRONG, PING, ROOM).by is None


WHO = st.sampled_from(["*", "libera:*", "libera:ada", "libera:ada#2020", "libera:(guest)", "oftc:*", "*:ada", "*da*"])
RULES = st.builds(
    Rule,
    WHO,
    st.sampled_from(["*", "ping", "api *", "skill:api", "skill:*", "p*"]),
    st.sampled_from(["allow", "deny"]),
    st.sampled_from(["*", "libera:*", "libera:#ops", "libera:(private)", "oftc:*"]),
    st.none() | st.sampled_from(Assurance),
)
CASES = st.tuples(
    st.sampled_from([ADA, EVE, NICK, Identity("libera", "ada", "2020"), Identity("oftc", "ada")]),
    st.none() | st.sampled_from(Assurance),
    st.sampled_from([PING, API, WIPE, command("x", linked=True)]),
    st.sampled_from([ROOM, PRIVATE, Channel("libera", "#lobby")]),
)


@given(st.lists(RULES, max_size=6), RULES, st.integers(0, 6), CASES)
def test_denying_wins_wherever_it_stands(
    rules: list[Rule], more: Rule, place: int, case: tuple[Speaker, Assurance | None, Command, Channel]
) -> None:
    """One more denial never allows; the order says nothing; what a denial is about is denied, whatever allows it."""
    deny = replace(more, effect="deny")
    before, after = Policy(rules), Policy([*rules[:place], deny, *rules[place:]])

    assert before.allows(*case) or not after.allows(*case)
    assert after.allows(*case) == Policy([deny, *rules][::-1]).allows(*case)
    if deny in after.about(*case):
        assert not after.allows(*case)


@given(st.lists(RULES, max_size=4), st.sampled_from(["libera:*", "libera:#ops", "*"]), CASES)
def test_a_room_never_gives(
    rules: list[Rule], pattern: str, case: tuple[Speaker, Assurance | None, Command, Channel]
) -> None:
    """Whatever it says."""
    room = Room(pattern, frozenset({"ping", "api"}))

    assert Policy(rules).allows(*case) or not Policy(rules, rooms=[room]).allows(*case)
