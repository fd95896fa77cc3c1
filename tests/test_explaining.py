"""`omnibot check --as` tells what the bot would decide, and which line says so."""

from pathlib import Path

import pytest

from omnibot import cli
from omnibot.app import find_parts
from omnibot.config import Settings, load
from omnibot.errors import UserError
from omnibot.explaining import Explained, explain, strays

CONFIG = """\
networks:
  libera: {adapter: irc, host: irc.example, nick: bot}
  home: {adapter: matrix, homeserver: "https://m.example", user: "@bot:m.example", password: "${PASSWORD}"}
skills: [help, ping, accounts]
admins: ["home:@ada:m.example"]
policy:
  - {who: "home:@*:m.example", command: "ping", effect: allow}
  - {who: "home:@eve:*", command: "skill:ping", in: "home:!lobby:m.example", effect: deny}
  - {who: "libera:*", command: "help", level: account, effect: deny}
rooms:
  "home:!quiet:m.example": {answers: private}
  "libera:#lobby": {skills: [help]}
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return written(tmp_path, CONFIG)


def written(folder: Path, text: str) -> Settings:
    path = folder / "config.yaml"
    path.write_text(text, "utf-8")
    return load(path, {"PASSWORD": "x"})


def told(settings: Settings, who: str, line: str, where: str = "", level: str = "") -> Explained:
    parts = find_parts(settings)
    return explain(settings, parts.skills, who, line, where, level, parts.folds)


def test_the_rule_that_allows_is_named(settings: Settings) -> None:
    """By file and line, as it is written; what it closes to others is said to be closed by it."""
    ada, bob = told(settings, "home:@ada:m.example", "!ping"), told(settings, "home:@bob:other.example", "!ping")

    assert ada.allowed
    assert (
        "allowed  home:@ada:m.example, in private: !ping (skill ping)",
        "         by config.yaml:7: allow home:@*:m.example, ping",
    ) == ada.lines
    assert not bob.allowed
    assert bob.lines[1].endswith("config.yaml:7: allow home:@*:m.example, ping, which allows it to others alone")
    assert bob.lines[2].endswith("they are told: The operator of this bot does not allow you that command.")


@pytest.mark.parametrize("room", ["!lobby:m.example", "home:!lobby:m.example"])
def test_the_rule_that_denies_is_named_and_those_it_beats(settings: Settings, room: str) -> None:
    """In the room it is about, however that is written; in private it says nothing."""
    said = told(settings, "home:@eve:m.example", "!ping", room)

    assert not said.allowed
    assert said.lines[0].startswith("denied   home:@eve:m.example, in home:!lobby:m.example: ")
    assert said.lines[1].endswith("by config.yaml:8: deny home:@eve:*, skill:ping, in home:!lobby:m.example")
    assert said.lines[3].endswith("also fits: config.yaml:7: allow home:@*:m.example, ping")
    assert told(settings, "home:@eve:m.example", "!ping").allowed


def test_levels_are_told_apart_where_they_differ(settings: Settings) -> None:
    """One is enough if it is named; a guest has none."""
    both = told(settings, "libera:ada", "!help")
    weak, strong = (told(settings, "libera:ada", "!help", level=level) for level in ("account", "strong"))
    guest = told(settings, "libera:(guest)", "help")

    assert [False, False, True, False] == [one.allowed for one in (both, weak, strong, guest)]
    heads = [line.split(" (")[0] for line in both.lines if line[0] != " "]
    assert [
        "denied   libera:ada, in private, vouched for as account: !help",
        "allowed  libera:ada, in private, vouched for as strong: !help",
    ] == heads
    assert any("config.yaml:9: deny libera:*, help, level account" in line for line in guest.lines)


def test_a_room_is_named(settings: Settings) -> None:
    """Where it lacks the skill, and where its answers go in private."""
    lobby = told(settings, "libera:ada", "!ping", "#Lobby", "strong")
    quiet = told(settings, "home:@ada:m.example", "!ping", "!quiet:m.example")

    assert lobby.lines[1].endswith("by config.yaml:12: room libera:#lobby, skills help")
    assert lobby.lines[2].endswith("they are told: `ping` is not to be used in this room.")
    assert quiet.lines[-1].endswith(
        "answers go in private: config.yaml:11: room home:!quiet:m.example, answers private"
    )


def test_what_no_line_speaks_of_is_said_to_be_so(settings: Settings) -> None:
    """And what a command itself wants is told in the words that a guest would read."""
    plain, guest = told(settings, "libera:ada", "!whoami"), told(settings, "libera:(guest)", "!whoami")

    assert "no rule and no room speaks of it" in plain.lines[1]
    assert not guest.allowed
    assert "libera does not vouch for you" in guest.lines[1]


@pytest.mark.parametrize(
    ("who", "line", "where", "what"),
    [
        ("oftc:ada", "!ping", "", "oftc:ada is on no network of the configuration. There are: libera, home."),
        ("libera", "!ping", "", "Whom do you mean by libera?"),
        ("libera:ada", "!pong", "", "There is no command !pong. Did you mean !ping?"),
        ("libera:ada", "!ping", "home:!a:m.example", "is not on libera, where ada speaks."),
    ],
)
def test_what_cannot_be_told_is_said(settings: Settings, who: str, line: str, where: str, what: str) -> None:
    """In words for the operator."""
    with pytest.raises(UserError) as error:
        told(settings, who, line, where)

    assert what in str(error.value)


def test_the_command_line(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The status is 0 where it is allowed, and 1 where not; half a question is an error."""
    monkeypatch.setenv("PASSWORD", "x")
    check = ["check", "--config", str(tmp_path / "config.yaml")]

    assert 0 == cli.run([*check, "--as", "home:@ada:m.example", "!ping"])
    assert "config.yaml:7" in capsys.readouterr().out
    assert 1 == cli.run([*check, "--as", "home:@eve:m.example", "--in", "!lobby:m.example", "!ping"])
    assert 1 == cli.run([*check, "!ping"])
    assert 1 == cli.run([*check, "--as", "home:@ada:m.example"])
    assert 2 == capsys.readouterr().err.count("Say who, and what")


def test_what_names_nothing_is_found(tmp_path: Path) -> None:
    """A rule on no command, a room of no skill, a channel by its name where rooms have ids: each with its line."""
    text = CONFIG + '  "home:#name": {skills: [pinng]}\n'
    text = text.replace('command: "help", level', 'command: "helpp", level')

    found = [f"{one.where} {one.key}" for one in find_parts(written(tmp_path, text)).strays]

    assert [
        "config.yaml:9 policy.2.command",
        "config.yaml:13 rooms.home:#name.skills",
        "config.yaml:13 rooms.home:#name",
    ] == found


def test_what_fits_nobody_is_found(tmp_path: Path) -> None:
    """A Matrix user without a homeserver, a channel without its sign; patterns that may fit are passed over."""
    text = CONFIG.replace('admins: ["home:@ada:m.example"]', 'admins: ["home:@ada:m.example", "home:ada"]')
    text = text.replace(
        "policy:\n",
        """policy:
  - {who: "home:@eve", command: "ping", effect: deny}
  - {who: "libera:eve", command: "ping", in: "libera:team", effect: deny}
  - {who: "*:eve", command: "ping", in: "*:#team", effect: deny}
  - {who: "libera:(guest)", command: "ping", in: "libera:(private)", effect: deny}
  - {who: "home:*eve*", command: "ping", in: "home:*", effect: deny}
""",
    )
    text += '  "libera:team": {skills: [help]}\n'

    found = [f"{one.where} {one.key}" for one in find_parts(written(tmp_path, text)).strays]

    assert ["config.yaml:7 policy.0.who", "config.yaml:8 policy.1.in"] == found[:2]
    assert ["config.yaml:18 rooms.libera:team", "config.yaml:5 admins.1"] == found[2:]


def test_names_are_told_as_the_network_compares_them(tmp_path: Path) -> None:
    """However the operator, or who asks, spells them."""
    text = CONFIG.replace("policy:\n", 'policy:\n  - {who: "libera:Eve[x]", command: "ping", effect: deny}\n')

    said = told(written(tmp_path, text), "libera:eVE{X}", "!ping")

    assert not said.allowed
    assert said.lines[1].endswith("by config.yaml:7: deny libera:Eve[x], ping")


def test_nothing_is_found_where_all_is_right(settings: Settings) -> None:
    """A pattern for a channel is none where some network has such."""
    parts = find_parts(settings)

    assert [] == list(strays(settings, parts.skills))
