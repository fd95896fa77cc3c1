"""The configuration is read whole, everything wrong in it is told at once, and no secret with it."""

import re
from dataclasses import fields, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, field_validator

from omnibot.catalogue import ProviderSettings
from omnibot.config import Findings, NetworkSettings, Settings, adapter_options, load
from omnibot.configfile import File, InstancePart, LogPart, ProviderPart, RulePart
from omnibot.errors import ConfigError, Problem
from omnibot.policy import Rule
from omnibot.provider import Secret

EXAMPLE = Path(__file__).parent.parent / "config.example.yaml"

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
  github: {client_id: Iv1, client_secret: "${GITHUB}", scopes: [repo], methods: [GET, POST], paste: true}
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


class Sasl(BaseModel):
    """A part of an adapter's options."""

    username: str
    password: Secret


class Options(BaseModel):
    """What an adapter may want to know."""

    host: str
    port: int = Field(default=6697, ge=1, le=65535)
    password: Secret | None = None
    sasl: Sasl | None = None
    tls: bool | dict[str, str] = True
    keys: dict[str, Secret] = {}
    spare: list[Secret] = []
    channels: tuple[str, ...] = ()

    @field_validator("host")
    @classmethod
    def _has_a_dot(cls, value: str) -> str:
        if "." not in value:
            raise ValueError(f"{value} has no dot")
        return value


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


def options(folder: Path, text: str, **env: str) -> tuple[Options, Settings]:
    """Return the options of the network ``n``, which *text* is about, and the settings."""
    text = "networks:\n  n:\n    adapter: x\n" + "".join(f"    {line}\n" for line in text.splitlines())
    settings = load(write(folder, text), env)
    return adapter_options(settings.networks["n"], Options, settings.source), settings


def option_problems(folder: Path, text: str, **env: str) -> list[str]:
    """Return what is wrong with the options *text*, which begin in line 4."""
    with pytest.raises(ConfigError) as error:
        options(folder, text, **env)
    return [str(problem) for problem in error.value.problems]


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


def test_providers_arrive_as_the_catalogue_wants_them(tmp_path: Path) -> None:
    """Instances are addresses or settings; secrets are resolved wherever they stand."""
    (tmp_path / "club.txt").write_text("club-secret\r\n")

    providers = load(write(tmp_path, GOOD), {"GITHUB": "github-secret"}).providers

    assert {
        "github": ProviderSettings(
            "Iv1", Secret("github-secret"), scopes=("repo",), methods=("GET", "POST"), paste=True
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
    assert ("!", ("accounts", "help", "ping", "api"), 60.0) == (
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
    assert [
        "config.yaml:16: skills: is here a second time, after line 10. Keep one of the two.",
        'config.yaml:1: prefx: is not a key that I know. Did you mean "prefix"?',
        "config.yaml:2: paste_port: 99999 is too large. The most is 65535.",
        'config.yaml:4: networks.Libera: "Libera" is not a network\'s name. Use a to z, 0 to 9 and dashes, 32 at most.',
        "config.yaml:5: networks.home.adapter: is missing. Add it.",
        "config.yaml:6: networks.none: an empty value stands where keys belong. Write `key: value` lines below it.",
        "config.yaml:8: providers.github.client_secret: needs the environment variable NOT_SET, "
        "which is not set. Set NOT_SET.",
        'config.yaml:8: providers.github.clientid: is not a key that I know. Did you mean "client_id"?',
        'config.yaml:9: providers.redmine.client_secret: needs the file "none.txt", '
        "which cannot be read: No such file or directory. Put the secret, alone, there.",
        "config.yaml:9: providers.redmine.instances.work: 5 is not text. Put it in quotes.",
        'config.yaml:9: providers.redmine.instances.club.bse: is not a key that I know. Did you mean "base"?',
        'config.yaml:11: admins.0: "hme:@ada:example.org" is on no network of this file. Did you mean "home"?',
        'config.yaml:11: admins.1: "ada" is nobody. Write network:subject, as in discord:123456789.',
        "config.yaml:11: admins.2: 5 is not text. Put it in quotes.",
        'config.yaml:12: policy.0.who: "ada" fits nobody. Write network:subject; * stands for anything.',
        'config.yaml:12: policy.0.effect: "denyy" is not one of them. Did you mean "deny"?',
        f'config.yaml:12: policy.1.who: "li*:x" fits no network of this file. {choose}',
        "config.yaml:12: policy.1.command: is missing. Add it.",
        'config.yaml:13: trusted_proxies.0: "10.0.0.1/8" is not an address or a network of them. '
        "Write 10.0.0.0/8 for all of it, or one address.",
        'config.yaml:13: trusted_proxies.1: "proxy" is not an address or a network of them. '
        "Write 127.0.0.1 or 10.0.0.0/8, say.",
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
    assert [
        'config.yaml:1: log.level: "${BAD}" is not one of them. Choose one of: debug, info, warning, error.'
    ] == problems(tmp_path, 'log: {level: "${BAD}"}', **env)
    assert [
        "config.yaml:1: prefix: has a ${…} beside other text. Write ${NAME} alone, or the value itself."
    ] == problems(tmp_path, 'prefix: "${BAD}!"', **env)


def test_adapter_options_become_the_adapters_model(tmp_path: Path) -> None:
    """References are resolved wherever the model wants a secret, however deep."""
    (tmp_path / "spare").write_text("from the file\n\n")
    text = """\
host: "${HOST}"
port: 6667
password: "${PASSWORD}"
sasl: {username: omnibot, password: file:spare}
tls: {fingerprint: "sha256:00"}
keys: {a: "${PASSWORD}"}
spare: [file:spare]
channels: ["#a"]
"""
    made, settings = options(tmp_path, text, HOST="irc.example.org", PASSWORD="from the environment")

    password, spare = Secret("from the environment"), Secret("from the file")
    assert (
        Options(
            host="irc.example.org",
            port=6667,
            password=password,
            sasl=Sasl(username="omnibot", password=spare),
            tls={"fingerprint": "sha256:00"},
            keys={"a": password},
            spare=[spare],
            channels=("#a",),
        )
        == made
    )
    assert () == settings.warnings
    assert "from the" not in repr(made) + repr(settings)


def test_adapter_options_are_told_like_the_rest(tmp_path: Path) -> None:
    """File, line, key below the network's, value and cure; unknown keys too, whatever the model says."""
    text = 'host: "${HOST}"\nport: 66x7\nsasl: {username: x, pasword: "${NONE}"}\ntls: 5\nspare: [[a], 5, ""]\nnik: x'

    assert [
        "config.yaml:4: networks.n.host: ${HOST} has no dot",
        'config.yaml:5: networks.n.port: "66x7" is not a whole number. Write digits only.',
        "config.yaml:6: networks.n.sasl.password: is missing. Add it.",
        'config.yaml:6: networks.n.sasl.pasword: is not a key that I know. Did you mean "password"?',
        "config.yaml:7: networks.n.tls: 5 is neither true nor false. Write true or false.",
        'config.yaml:8: networks.n.spare.0: is not text. Write "${NAME}" or "file:path".',
        'config.yaml:8: networks.n.spare.1: is not text. Write "${NAME}" or "file:path".',
        'config.yaml:8: networks.n.spare.2: is not text. Write "${NAME}" or "file:path".',
        "config.yaml:9: networks.n.nik: is not a key that I know. Take it out.",
    ] == option_problems(tmp_path, text, HOST="localhost")
    assert ["config.yaml:2: networks.n.host: is missing. Add it."] == option_problems(tmp_path, "")


def test_a_unions_problem_is_told_once(tmp_path: Path) -> None:
    """Pydantic tells one for each way to write it; an operator wrote it in one way."""
    assert ["config.yaml:5: networks.n.tls.fingerprint: 5 is not text. Put it in quotes."] == option_problems(
        tmp_path, "host: a.b\ntls: {fingerprint: 5}"
    )


def test_a_literal_secret_works_and_is_warned_about(tmp_path: Path) -> None:
    """Once, wherever it was met: in the file itself, or in the options of an adapter."""
    made, settings = options(tmp_path, "host: a.b\npassword: hunter2")
    adapter_options(settings.networks["n"], Options, settings.source)
    providers = load(write(tmp_path, "providers: {github: {client_secret: hunter2}}\n"), {})

    assert Secret("hunter2") == made.password
    cure = 'Keep it elsewhere, and write "${NAME}" or "file:path" here.'
    assert (Problem("config.yaml:5", "networks.n.password", "is a literal secret", cure),) == settings.warnings
    assert ["providers.github.client_secret"] == [one.key for one in providers.warnings]


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ('"${NONE}"', "needs the environment variable NONE, which is not set. Set NONE."),
        ('"${EMPTY}"', "needs the environment variable EMPTY, which is empty. Set EMPTY."),
        ('"a${EMPTY}"', "has a ${…} beside other text. Write ${NAME} alone, or the value itself."),
        ("file:empty", 'needs the file "empty", which is empty. Put the secret, alone, there.'),
        ("file:.", 'needs the file ".", which cannot be read: Is a directory. Put the secret, alone, there.'),
        ("file:bytes", 'needs the file "bytes", which is not a file of text. Put the secret, alone, there.'),
        ('"file:\\0"', 'needs the file "?", which is not a file of text. Put the secret, alone, there.'),
    ],
)
def test_a_secret_that_cannot_be_had_is_told(tmp_path: Path, reference: str, said: str) -> None:
    """With the name of what is missing, and how to bring it."""
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "bytes").write_bytes(b"\xff")

    assert [f"config.yaml:5: networks.n.password: {said}"] == option_problems(
        tmp_path, f"host: a.b\npassword: {reference}", EMPTY=""
    )


SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=90)
KEYS = ["host", "port", "password", "sasl", "tls", "keys", "spare", "channels", "pasword"]


@given(secret=SECRETS, key=st.sampled_from(KEYS), literal=st.booleans())
def test_a_secret_is_never_repeated(
    tmp_path_factory: pytest.TempPathFactory, secret: str, key: str, literal: bool
) -> None:
    """Not even where it was put by mistake; a literal one not where a secret belongs."""
    written = secret if literal and key == "password" else "${A_VARIABLE}"
    text = f"adapter: x\nhost: 5\nport: true\n{key}: {yaml.safe_dump(written)}"
    data = yaml.safe_dump({"networks": {"n": yaml.safe_load(text)}})
    settings = load(write(tmp_path_factory.mktemp("c"), data), {"A_VARIABLE": secret})

    with pytest.raises(ConfigError) as error:
        adapter_options(settings.networks["n"], Options, settings.source)

    assert secret not in f"{error.value}{settings!r}{settings.warnings}"
    assert error.value.__cause__ is error.value.__context__ is None


def test_findings_gather_over_many_steps(tmp_path: Path) -> None:
    """An operator hears of two bad networks, and of what somebody else found, in one go."""
    text = "networks:\n  a: {adapter: x, host: '${LONG_ENOUGH}'}\n  b: {adapter: x}\n  c: {adapter: x, host: a.b}\n"
    settings = load(write(tmp_path, text), {"LONG_ENOUGH": "confidential"})
    findings, made = Findings(settings.source), {}
    findings.raise_any()

    for name, network in settings.networks.items():
        with findings.gather():
            made[name] = adapter_options(network, Options, settings.source)
    with findings.gather():
        raise ConfigError(Problem("", "", '"confidential" is not in the catalogue'))

    assert {"c": Options(host="a.b")} == made
    with pytest.raises(ConfigError) as error:
        findings.raise_any()
    assert [
        "config.yaml:2: networks.a.host: ${LONG_ENOUGH} has no dot",
        "config.yaml:3: networks.b.host: is missing. Add it.",
        '"${LONG_ENOUGH}" is not in the catalogue',
    ] == [str(problem) for problem in error.value.problems]


def test_a_model_of_somebody_elses_making_is_read(tmp_path: Path) -> None:
    """Aliases of types, unions and models within models all lead to the secrets in them."""

    class Tree(BaseModel):
        model_config = ConfigDict(extra="allow")
        leaf: Secret | int = 1
        tree: "Tree | None" = None

    text = "networks: {n: {adapter: x, tree: &t {leaf: '${A}', tree: *t}}}\n"
    settings = load(write(tmp_path, text), {"A": "secret"})

    with pytest.raises(ConfigError, match="is nested too deeply"):
        adapter_options(settings.networks["n"], Tree, settings.source)


@given(st.text(st.sampled_from("abc:-[]{},#&*!|>'\"%@` \n\t0?${}.~<="), max_size=60) | st.text(max_size=60))
def test_any_text_is_settings_or_a_config_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Whatever an operator saves, nothing but a list of problems comes of it."""
    _load_or_problems(tmp_path_factory, text)


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


@given(st.dictionaries(st.sampled_from([*File.model_fields]), WILD, max_size=4))
def test_any_values_are_settings_or_a_config_error(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, Any]
) -> None:
    """The keys may be the right ones and hold anything."""
    _load_or_problems(tmp_path_factory, yaml.safe_dump(data, allow_unicode=True))


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
        "command_timeout: .inf",
        "command_timeout: 1.0e999",
    ],
)
def test_odd_yaml_is_a_config_error(tmp_path: Path, text: str) -> None:
    """Files that hold themselves, values that are not what their tag says, keys that are no text."""
    assert problems(tmp_path, text)


def _load_or_problems(factory: pytest.TempPathFactory, text: str) -> None:
    path = factory.mktemp("c") / "config.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        load(path, {"A": "a"})
    except ConfigError as error:
        assert error.problems


def test_a_missing_file_is_a_config_error(tmp_path: Path) -> None:
    """It is told by its name."""
    with pytest.raises(ConfigError, match=r"config\.yaml: cannot be read: No such file"):
        load(tmp_path / "config.yaml", {})


def test_the_example_shows_the_defaults(tmp_path: Path) -> None:
    """What stands there holds as well without it."""
    example = load(EXAMPLE, {})
    empty = load(write(tmp_path, ""), {})

    assert {"console": "console"} == {name: one.adapter for name, one in example.networks.items()}
    here = {"networks": {}, "data_dir": Path("data"), "key_file": Path("data/omnibot.key")}
    assert replace(empty, **here) == replace(example, **here)
    assert (EXAMPLE.parent / "data", EXAMPLE.parent / "data/omnibot.key") == (example.data_dir, example.key_file)


def test_the_example_has_every_key(tmp_path: Path) -> None:
    """With all that is switched off in it switched on, every key is there, it loads, and no secret is literal."""
    text = re.sub(r"(?m)^(\s*)#(?=\S)", r"\1", EXAMPLE.read_text(encoding="utf-8"))
    (tmp_path / "secrets").mkdir()
    for name in ("redmine", "redmine-club"):
        (tmp_path / "secrets" / name).write_text("secret")

    settings = load(write(tmp_path, text), {"OIDC_SECRET": "secret"})

    data = yaml.safe_load(text)
    assert set(File.model_fields) == set(data)
    assert set(LogPart.model_fields) == set(data["log"])
    assert set(RulePart.model_fields) == set(data["policy"][0])
    providers = [*data["providers"].values(), *data["providers"]["redmine"]["instances"].values()]
    assert set(ProviderPart.model_fields) == {key for part in providers if isinstance(part, dict) for key in part}
    assert () == settings.warnings
    secret = re.compile(r"(?m)^\s*#?\S*(?:secret|password|token): (?!\"\$\{|file:)(?!https)")
    assert [] == secret.findall(EXAMPLE.read_text(encoding="utf-8"))
