"""The configuration is read whole, everything wrong in it is told at once, and no secret with it."""

import re
from contextlib import suppress
from dataclasses import fields, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from adapters.irc import Settings as IrcSettings
from adapters.irc.settings import Sasl, Tls
from adapters.matrix import Settings as MatrixSettings
from omnibot.catalogue import ProviderSettings
from omnibot.config import NetworkSettings, Settings, adapter_options, load
from omnibot.configfile import File, InstancePart, LimitsPart, LogPart, ProviderPart, RoomPart, RulePart
from omnibot.errors import ConfigError
from omnibot.identity import Assurance
from omnibot.limits import Rate, Rates
from omnibot.policy import Room, Rule
from omnibot.provider import Secret
from servers.irc.certificates import Authority, self_signed

unhurried = hypothesis.settings(deadline=None)

EXAMPLE = Path(__file__).parent.parent / "config.example.yaml"
SECRETS = ("OIDC_SECRET", "DISCORD_CLIENT_SECRET")
"""What the example wants of the environment."""


GOOD = """\
public_url: https://Bot.example.org:443/
listen: "[::1]:8081"
paste_port: 1
data_dir: data
prefix: "?!"
networks:
  libera:
    adapter: irc
    host: "${HOST}"
    password: "${PASSWORD}"
  home: {adapter: somebody.matrix}
providers:
  github: {client_id: Iv1, client_secret: "${GITHUB}", scopes: [repo], methods: [GET, POST], paste: true,
    extra_scopes: refuse}
  redmine:
    instances:
      work: https://redmine.example.org
      club: {base: https://club.example.org, client_secret: file:club.txt}
skills: [ping]
skills_dir: /my/skills
admins: ["home:@ada:example.org"]
policy: [{who: "libera:*", command: "api *", effect: deny}]
trusted_proxies: [127.0.0.1, "fd00::/8"]
log: {level: debug, format: json}
command_timeout: 5
"""


def write(folder: Path, text: str) -> Path:
    """Write a configuration and return its path."""
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(folder: Path, text: str, **env: str) -> list[str]:
    """Return what an operator reads of the file *text*."""
    with pytest.raises(ConfigError) as error:
        load(write(folder, text), env)
    return [str(problem) for problem in error.value.problems]


def load_or_problems(folder: Path, text: str) -> None:
    """Raise if *text* makes anything but settings or a `ConfigError`."""
    path = folder / "config.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with suppress(ConfigError):
        load(path, {"A": "a"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that many examples share."""
    return tmp_path_factory.mktemp("config")


def test_a_whole_file_becomes_settings(tmp_path: Path) -> None:
    """Every key arrives, in the form the rest of the bot wants."""
    (tmp_path / "club.txt").write_text("club-secret\n")

    settings = load(write(tmp_path, GOOD), {"GITHUB": "github-secret"})

    assert "https://bot.example.org" == settings.public_url
    assert ("::1", 8081) == settings.listen
    assert (1, "?!", 5.0) == (settings.paste_port, settings.prefix, settings.command_timeout)
    assert tmp_path / "data" / "omnibot.key" == settings.key_file
    assert (Path("/my/skills"), None) == (settings.skills_dir, settings.catalogue_dir)
    written = {"host": "${HOST}", "password": "${PASSWORD}"}
    assert NetworkSettings("libera", "irc", written, 7) == settings.networks["libera"]
    assert "somebody.matrix" == settings.networks["home"].adapter
    assert ("home:@ada:example.org",) == settings.admins
    assert (Rule("libera:*", "api *", "deny"),) == settings.policy
    assert (ip_network("127.0.0.1/32"), ip_network("fd00::/8")) == settings.trusted_proxies
    assert ("debug", "json") == (settings.log.level, settings.log.format)
    assert () == settings.warnings


def test_a_network_says_how_its_links_are_confirmed(tmp_path: Path) -> None:
    """By the code, where nothing is said; it is no option of the adapter's."""
    text = "networks:\n  a: {adapter: x, confirm: login, own: 1}\n  b: {adapter: x}\n"
    networks = load(write(tmp_path, text), {}).networks

    assert ["login", "code"] == [networks["a"].confirm, networks["b"].confirm]
    assert {"own": 1} == networks["a"].options
    assert ["networks.a.confirm"] == [
        line.split()[1].rstrip(":") for line in problems(tmp_path, "networks:\n  a: {adapter: x, confirm: pin}\n")
    ]


def test_providers_arrive_as_the_catalogue_wants_them(tmp_path: Path) -> None:
    """Instances are addresses or settings; secrets are resolved wherever they stand."""
    (tmp_path / "club.txt").write_text("club-secret\r\n")

    providers = load(write(tmp_path, GOOD), {"GITHUB": "github-secret"}).providers

    assert {
        "github": ProviderSettings(
            "Iv1", Secret("github-secret"), scopes=("repo",), methods=("GET", "POST"), paste=True, extra_scopes="refuse"
        ),
        "redmine": ProviderSettings(
            instances={
                "work": "https://redmine.example.org",
                "club": ProviderSettings(base="https://club.example.org", client_secret=Secret("club-secret")),
            }
        ),
    } == providers
    assert "secret'" not in repr(providers)


def test_providers_can_say_all_that_the_catalogue_takes() -> None:
    """A key added there and forgotten here could never be written."""
    assert {field.name for field in fields(ProviderSettings)} == set(ProviderPart.model_fields)
    assert {"instances"} == set(ProviderPart.model_fields) - set(InstancePart.model_fields)


@pytest.mark.parametrize("text", ["", "# nothing\n", "networks:\nproviders:\nadmins:\nlog:\nprefix:\n"])
def test_nothing_need_be_said(tmp_path: Path, text: str) -> None:
    """Without a network the bot speaks in the terminal; a key with nothing behind it counts as left out."""
    settings = load(write(tmp_path, text), {})

    assert {"console": NetworkSettings("console", "console")} == settings.networks
    assert (None, ("127.0.0.1", 8080), 9) == (settings.public_url, settings.listen, settings.paste_port)
    assert (tmp_path / "data", tmp_path / "data" / "omnibot.key") == (settings.data_dir, settings.key_file)
    assert ("!", ("accounts", "following", "help", "ping", "api", "admin"), 60.0) == (
        settings.prefix,
        settings.skills,
        settings.command_timeout,
    )


def test_paths_begin_at_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the bot is started, also when the file itself is named by a relative path."""
    write(tmp_path, "data_dir: here\nkey_file: ../key\ncatalogue_dir: /there\nskills_dir: ~/skills\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ada")

    settings = load(Path("config.yaml"), {})

    assert (tmp_path / "here", tmp_path / "../key") == (settings.data_dir, settings.key_file)
    assert (Path("/there"), Path("/home/ada/skills")) == (settings.catalogue_dir, settings.skills_dir)


def test_the_key_may_be_a_systemd_credential(tmp_path: Path) -> None:
    """It is taken if it is there and no other file was named."""
    env = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    before = load(write(tmp_path, ""), env).key_file
    (tmp_path / "omnibot.key").touch()

    assert tmp_path / "data" / "omnibot.key" == before
    assert tmp_path / "omnibot.key" == load(write(tmp_path, "data_dir: elsewhere\n"), env).key_file
    assert tmp_path / "mine" == load(write(tmp_path, "key_file: mine\n"), env).key_file


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    """File and line, dotted key, value and cure; in the order of the file."""
    text = """\
prefx: "?"
paste_port: 99999
networks:
  Libera: {adapter: irc}
  home: {adaptr: matrix}
  none:
providers:
  github: {clientid: x, client_secret: "${NOT_SET}"}
  redmine: {instances: {work: 5, club: {bse: x}}, client_secret: file:none.txt}
skills: ping
admins: ["hme:@ada:example.org", ada, 5]
policy: [{who: ada, command: "*", effect: denyy}, {who: "li*:x", effect: deny}]
trusted_proxies: [10.0.0.1/8, proxy]
log: {level: INFO}
command_timeout: 0
skills: [ping]
"""
    choose = "Choose one of: Libera, home, none."
    unset = "which is not set. Set NOT_SET."
    gone = "which cannot be read: No such file or directory. Put the secret, alone, there."
    proxy = "is not an address or a network of them."
    assert [
        "config.yaml:16: skills: is here a second time, after line 10. Keep one of the two.",
        'config.yaml:1: prefx: is not a key that I know. Did you mean "prefix"?',
        "config.yaml:2: paste_port: 99999 is too large. The most is 65535.",
        'config.yaml:4: networks.Libera: "Libera" is not a network\'s name. Use a to z, 0 to 9 and dashes, 32 at most.',
        "config.yaml:5: networks.home.adapter: is missing. Add it.",
        "config.yaml:6: networks.none: an empty value stands where keys belong. Write `key: value` lines below it.",
        f"config.yaml:8: providers.github.client_secret: needs the environment variable NOT_SET, {unset}",
        'config.yaml:8: providers.github.clientid: is not a key that I know. Did you mean "client_id"?',
        f'config.yaml:9: providers.redmine.client_secret: needs the file "none.txt", {gone}',
        "config.yaml:9: providers.redmine.instances.work: 5 is not text. Put it in quotes.",
        'config.yaml:9: providers.redmine.instances.club.bse: is not a key that I know. Did you mean "base"?',
        'config.yaml:11: admins.0: "hme:@ada:example.org" is on no network of this file. Did you mean "home"?',
        'config.yaml:11: admins.1: "ada" is nobody. Write network:subject, as in discord:123456789.',
        "config.yaml:11: admins.2: 5 is not text. Put it in quotes.",
        'config.yaml:12: policy.0.who: "ada" fits nobody. Write network:subject; * stands for anything.',
        'config.yaml:12: policy.0.effect: "denyy" is not one of them. Did you mean "deny"?',
        f'config.yaml:12: policy.1.who: "li*:x" fits no network of this file. {choose}',
        "config.yaml:12: policy.1.command: is missing. Add it.",
        f'config.yaml:13: trusted_proxies.0: "10.0.0.1/8" {proxy} Write 10.0.0.0/8 for all of it, or one address.',
        f'config.yaml:13: trusted_proxies.1: "proxy" {proxy} Write 127.0.0.1 or 10.0.0.0/8, say.',
        'config.yaml:14: log.level: "INFO" is not one of them. Did you mean "info"?',
        "config.yaml:15: command_timeout: 0 is too small. Go above 0.0.",
    ] == problems(tmp_path, text)


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("https://bot.example.org", "https://bot.example.org"),
        ("HTTPS://BOT.example.org:443/", "https://bot.example.org"),
        ("https://bot.example.org:8443", "https://bot.example.org:8443"),
        ("http://localhost:8080/", "http://localhost:8080"),
        ("http://127.0.0.1", "http://127.0.0.1"),
        ("http://[::1]:80", "http://[::1]"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
    ],
)
def test_the_public_url_has_one_spelling(tmp_path: Path, written: str, normal: str) -> None:
    """Redirect addresses are compared letter by letter."""
    assert normal == load(write(tmp_path, f"public_url: {written!r}\n"), {}).public_url


@pytest.mark.parametrize(
    "written",
    [
        "http://bot.example.org",
        "http://localhost.example.org",
        "http://0.0.0.0:8080",
        "ftp://bot.example.org",
        "bot.example.org",
        "//bot.example.org",
        "https://",
        "https://bot.example.org/path",
        "https://bot.example.org?",
        "https://bot.example.org/#",
        "https://bot.example.org:",
        "https://bot.example.org:0",
        "https://bot.example.org:99999",
        "https://ada@bot.example.org",
        "https://bot.example.org\\\\@evil.example",
        "https://bot.exam\\tple.org",
        "https://bot_.example.org",
        "https://b\\u00fccher.example",
        "https://[::1",
        "https://[v1.x]",
        "https://[fe80::1%25eth0]",
        " https://bot.example.org",
        "",
    ],
)
def test_a_public_url_that_is_more_or_less_is_refused(tmp_path: Path, written: str) -> None:
    """A path, a query or a user in it would end up in every redirect address; plain http is for this machine."""
    (said,) = problems(tmp_path, f'public_url: "{written}"\n')

    assert said.startswith("config.yaml:1: public_url: ")


@pytest.mark.parametrize(
    ("written", "parts"),
    [
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("[::]:8080", ("::", 8080)),
        ("bot:0", ("bot", 0)),
        ("::1:80", None),
        ("[127.0.0.1]:80", None),
        ("[::1]", None),
        (":80", None),
        ("8080", None),
        ("bot:66x7", None),
        ("bot:65536", None),
        ("bot:٣", None),
        ("bot/x:80", None),
    ],
)
def test_listen_is_host_and_port(tmp_path: Path, written: str, parts: tuple[str, int] | None) -> None:
    """An IPv6 address stands in brackets; everything else is told."""
    text = f'listen: "{written}"\n'

    if parts:
        assert parts == load(write(tmp_path, text), {}).listen
    else:
        assert "config.yaml:1: listen: " in problems(tmp_path, text)[0]


@pytest.mark.parametrize("written", ["", "!!!!!!", "! ", "\\t", "\\u00a0", "\\u200b"])
def test_a_prefix_can_be_seen_and_typed(tmp_path: Path, written: str) -> None:
    """Nobody could type what does not print, and a space ends a word."""
    assert "is no prefix" in problems(tmp_path, f'prefix: "{written}"\n')[0]


@pytest.mark.parametrize("line", ["paste_port: '9'", "paste_port: true", "command_timeout: '5'", "prefix: 5"])
def test_nothing_is_taken_for_something_else(tmp_path: Path, line: str) -> None:
    """Text is no number, truth is no number, and a number is no text."""
    assert 1 == len(problems(tmp_path, line))


def test_text_may_come_from_the_environment(tmp_path: Path) -> None:
    """Of every key, as a whole value; and it is told by the variable's name."""
    env = {"URL": "https://bot.example.org", "BAD": "no-such-level"}

    assert env["URL"] == load(write(tmp_path, 'public_url: "${URL}"\n'), env).public_url
    assert ['config.yaml:1: log.level: "${BAD}" is not one of them. Choose: debug, info, warning, error.'] == problems(
        tmp_path, 'log: {level: "${BAD}"}', **env
    )
    assert [
        "config.yaml:1: prefix: has a ${…} beside other text. Write ${NAME} alone, or the value itself."
    ] == problems(tmp_path, 'prefix: "${BAD}!"', **env)


@unhurried
@given(st.text(st.sampled_from("abc:-[]{},#&*!|>'\"%@` \n\t0?${}.~<="), max_size=60) | st.text(max_size=60))
def test_any_text_is_settings_or_a_config_error(folder: Path, text: str) -> None:
    """Whatever an operator saves, nothing but a list of problems comes of it."""
    load_or_problems(folder, text)


WILD: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["${A}", "file:a"]),
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(
            st.sampled_from([*InstancePart.model_fields, "adapter"]) | st.text(max_size=4), below, max_size=3
        )
        | st.dictionaries(st.integers() | st.none() | st.booleans(), below, max_size=2)
    ),
    max_leaves=8,
)


@unhurried
@given(st.dictionaries(st.sampled_from([*File.model_fields]), WILD, max_size=4))
def test_any_values_are_settings_or_a_config_error(folder: Path, data: dict[str, Any]) -> None:
    """The keys may be the right ones and hold anything."""
    load_or_problems(folder, yaml.safe_dump(data, allow_unicode=True))


@pytest.mark.parametrize(
    "text",
    [
        "networks: &a {b: *a}",
        "providers: &a {b: {instances: *a}}",
        "admins: &a [*a]",
        "paste_port: !!int x",
        "prefix: !!timestamp x",
        "networks: !!set {a}",
        "- a",
        "5",
        "networks: {~: {adapter: x}, 5: {adapter: x, 6: y}}",
        "skills_dir: ~nobody-is-called-so/skills",
        'data_dir: ""',
        r'data_dir: "\0"',
        "command_timeout: .inf",
        "command_timeout: 1.0e999",
    ],
)
def test_odd_yaml_is_a_config_error(tmp_path: Path, text: str) -> None:
    """Files that hold themselves, values that are not what their tag says, keys that are no text, and more."""
    assert problems(tmp_path, text)


def test_a_missing_file_is_a_config_error(tmp_path: Path) -> None:
    """It is told by its name."""
    with pytest.raises(ConfigError, match=r"config\.yaml: there is no such file\. Make one: omnibot init"):
        load(tmp_path / "config.yaml", {})


def test_the_example_shows_the_defaults(tmp_path: Path) -> None:
    """What stands there holds as well without it."""
    example = load(EXAMPLE, {})
    empty = load(write(tmp_path, ""), {})

    assert {"console": "console"} == {name: one.adapter for name, one in example.networks.items()}

    def anywhere(settings: Settings) -> Settings:
        return replace(settings, networks={}, data_dir=Path(), key_file=Path())

    assert anywhere(empty) == anywhere(example)
    assert (EXAMPLE.parent / "data", EXAMPLE.parent / "data/omnibot.key") == (example.data_dir, example.key_file)


def test_the_example_has_every_key(tmp_path: Path) -> None:
    """With all that is switched off in it switched on, every key is there, it loads, and no secret is literal."""
    text = re.sub(r"(?m)^(\s*)#(?=\S)", r"\1", EXAMPLE.read_text(encoding="utf-8"))
    (tmp_path / "secrets").mkdir()
    for name in ("forge", "forge-club", "github", "x"):
        (tmp_path / "secrets" / name).write_text("secret")

    settings = load(write(tmp_path, text), dict.fromkeys(SECRETS, "secret"))

    data = yaml.safe_load(text)
    assert set(File.model_fields) == set(data)
    assert set(LogPart.model_fields) == set(data["log"])
    assert {field.alias or name for name, field in RulePart.model_fields.items()} == set(data["policy"][0])
    assert set(RoomPart.model_fields) == {key for part in data["rooms"].values() for key in part}
    assert set(LimitsPart.model_fields) == set(data["limits"])
    providers = [*data["providers"].values(), *data["providers"]["forge"]["instances"].values()]
    assert set(ProviderPart.model_fields) == {key for part in providers if isinstance(part, dict) for key in part}
    assert () == settings.warnings
    secret = re.compile(r"(?m)^\s*#?\S*(?:secret|password|token): (?!\"\$\{|file:)(?!https)")
    assert [] == secret.findall(EXAMPLE.read_text(encoding="utf-8"))


def test_the_examples_of_irc_have_every_key(tmp_path: Path) -> None:
    """Each of them holds by itself, and together they show all that there is."""
    text = re.sub(r"(?m)^(\s*)#(?=\S)", r"\1", EXAMPLE.read_text(encoding="utf-8"))
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "omnibot-ecdsa.pem").write_text("key")
    ours = self_signed(tmp_path, "ours")
    ours.path.rename(tmp_path / "secrets" / "irc.pem")
    ours.key_path.rename(tmp_path / "secrets" / "irc-key.pem")
    Authority(tmp_path).path.rename(tmp_path / "secrets" / "club-ca.pem")
    for name in ("forge", "forge-club", "github", "x"):
        (tmp_path / "secrets" / name).write_text("secret")
    names = (*SECRETS, "LIBERA_PASSWORD", "LIBERA_SERVER_PASSWORD", "LIBERA_TEAM_KEY")

    settings = load(write(tmp_path, text), dict.fromkeys(names, "secret"))
    found = [one for one in settings.networks.values() if one.adapter == "irc"]
    shown = [adapter_options(one, IrcSettings, settings.source) for one in found]

    assert set(IrcSettings.model_fields) == {key for one in shown for key in one.model_fields_set}
    tls = [one.tls for one in shown if isinstance(one.tls, Tls)]
    assert set(Tls.model_fields) == {key for part in tls for key in part.model_fields_set}
    assert set(Sasl.model_fields) == {key for one in shown if one.sasl for key in one.sasl.model_fields_set}


def test_the_examples_of_matrix_have_every_key(tmp_path: Path) -> None:
    """Each of them holds by itself, and together they show all that there is, with the defaults."""
    text = re.sub(r"(?m)^(\s*)#(?=\S)", r"\1", EXAMPLE.read_text(encoding="utf-8"))
    networks = {name: one for name, one in yaml.safe_load(text)["networks"].items() if one["adapter"] == "matrix"}
    named = {"MATRIX_PASSWORD": "secret", "MATRIX_TOKEN": "secret"}
    settings = load(write(tmp_path, yaml.safe_dump({"networks": networks})), named)
    shown = [adapter_options(one, MatrixSettings, settings.source) for one in settings.networks.values()]

    assert set(MatrixSettings.model_fields) == {key for one in shown for key in one.model_fields_set}
    for name, field in MatrixSettings.model_fields.items():
        if name in shown[0].model_fields_set and not field.is_required() and field.default not in (None, ()):
            assert getattr(shown[0], name) == field.default, name


@pytest.mark.parametrize("word", ["ask", "any"])
def test_people_may_name_instances(tmp_path: Path, word: str) -> None:
    """By one word, or beside instances that have a name."""
    alone = load(write(tmp_path, f"providers: {{redmine: {{instances: {word}}}}}\n"), {}).providers["redmine"]
    beside = load(
        write(tmp_path, f'providers: {{redmine: {{instances: {{work: "https://r.example", "*": {word}}}}}}}\n'), {}
    ).providers["redmine"]

    assert ({"*": word}, {"work": "https://r.example", "*": word}) == (alone.instances, beside.instances)


def test_another_word_names_no_instances(tmp_path: Path) -> None:
    """It says which do."""
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, "providers:\n  redmine:\n    instances: all\n"), {})

    what, cure = '"all" is neither ask nor any', "Or name instances: alias and address."

    assert [("providers.redmine.instances", what, cure)] == [
        (one.key, one.what, one.cure) for one in caught.value.problems
    ]


def test_rules_rooms_and_limits(tmp_path: Path) -> None:
    """Each rule and room knows its line, and is as it was written; what is left out holds for all."""
    text = """\
networks:
  libera: {adapter: irc}
policy:
  - {who: "libera:ada", command: "skill:api", in: "libera:#Ops", level: strong, effect: allow}
rooms:
  "libera:#Lobby": {skills: [help]}
limits: {person: 5/second, guest: off}
"""
    settings = load(write(tmp_path, text), {})

    (rule,), (room,) = settings.policy, settings.rooms
    assert Rule("libera:ada", "skill:api", "allow", "libera:#Ops", Assurance.STRONG) == rule
    assert Room("libera:#Lobby", frozenset({"help"})) == room
    assert ("config.yaml:4", "config.yaml:6") == (rule.at, room.at)
    assert replace(Rates(), person=Rate(5, 1.0), guest=None) == settings.limits
    assert Rates() == load(write(tmp_path, ""), {}).limits


def test_what_would_forbid_nothing_is_refused(tmp_path: Path) -> None:
    """So is an admin who may be anybody."""
    text = """\
networks: {home: {adapter: matrix}}
admins: ["home:@*:example.org"]
policy: [{who: "*", command: "*", effect: deny, level: strong}, {who: "*", command: "*", effect: deny, in: lobby}]
rooms: {"hme:!a": {}, "home:#ops:example.org": {}}
limits: {person: 5/day}
"""
    found = "\n".join(problems(tmp_path, text))

    for what in (
        'admins.0: "home:@*:example.org" may be anybody.',
        "policy.0.level: every message is vouched for at most strongly.",
        '"lobby" fits no room. Write network:id',
        '"hme:!a" fits no network of this file. Did you mean "home"?',
        '"home:#ops:example.org" is what a room is called just now. Write the room\'s id',
        'limits.person: "5/day" is no limit. Write 30/minute',
    ):
        assert what in found, found
