"""Secrets are referred to, read where they are wanted, and told to nobody."""

from pathlib import Path
from typing import Annotated

import hypothesis
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, field_validator

from omnibot.config import Findings, Settings, adapter_options, load
from omnibot.errors import ConfigError, Problem
from omnibot.provider import Secret


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
    book: Path | None = None
    shelf: list[Path] = []

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


def test_paths_begin_at_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an adapter's options as everywhere, and however they are written."""
    monkeypatch.setenv("HOME", "/home/ada")
    made, _ = options(tmp_path, 'host: a.b\nbook: "${BOOK}"\nshelf: [a, ../b, /c, ~/d]', BOOK="here")

    assert tmp_path / "here" == made.book
    assert [tmp_path / "a", tmp_path / "../b", Path("/c"), Path("/home/ada/d")] == made.shelf
    assert [
        'config.yaml:5: networks.n.book: "" is not a path. Write that of a file or folder.',
        "config.yaml:6: networks.n.shelf.0: 5 is not text. Put it in quotes.",
    ] == option_problems(tmp_path, 'host: a.b\nbook: ""\nshelf: [5]')


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


SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=90).map("~sec{}ret~".format)
KEYS = ["host", "port", "password", "sasl", "tls", "keys", "spare", "channels", "pasword"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that many examples share."""
    return tmp_path_factory.mktemp("config")


@hypothesis.settings(deadline=None)
@given(secret=SECRETS, key=st.sampled_from(KEYS), literal=st.booleans())
def test_a_secret_is_never_repeated(folder: Path, secret: str, key: str, literal: bool) -> None:
    """Not even where it was put by mistake; a literal one not where a secret belongs."""
    written = secret if literal and key == "password" else "${A_VARIABLE}"
    text = f"adapter: x\nwrong: 1\nhost: 5\n{key}: {yaml.safe_dump(written)}"
    data = yaml.safe_dump({"networks": {"n": yaml.safe_load(text)}})
    settings = load(write(folder, data), {"A_VARIABLE": secret})

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
        with findings:
            made[name] = adapter_options(network, Options, settings.source)
    with findings:
        raise ConfigError(Problem("", "", '"confidential" is not in the catalogue'))

    assert {"c": Options(host="a.b")} == made
    with pytest.raises(ConfigError) as error:
        findings.raise_any()
    assert [
        "config.yaml:2: networks.a.host: ${LONG_ENOUGH} has no dot",
        "config.yaml:3: networks.b.host: is missing. Add it.",
        '"${LONG_ENOUGH}" is not in the catalogue',
    ] == [str(problem) for problem in error.value.problems]


def test_a_secret_that_need_not_be_may_be_empty(tmp_path: Path) -> None:
    """A key with nothing behind it is as good as none; where a secret must be, it is a problem."""
    made, _ = options(tmp_path, "host: a.b\npassword:")

    assert made.password is None
    assert ['config.yaml:5: networks.n.keys.a: is not text. Write "${NAME}" or "file:path".'] == option_problems(
        tmp_path, "host: a.b\nkeys: {a: }"
    )


type Named = Annotated[Secret, Field(description="a type with a name")]


def test_options_that_hold_themselves_are_told(tmp_path: Path) -> None:
    """A model may hold itself, and so may YAML; reading the two together ends all the same."""

    class Tree(BaseModel):
        leaf: Named | int = 1
        tree: "Tree | None" = None

    text = "networks: {n: {adapter: x, tree: &t {leaf: '${A}', tree: *t}}, m: {adapter: x, tree: {leaf: '${A}'}}}"
    settings = load(write(tmp_path, text), {"A": "secret"})
    network = settings.networks

    assert Tree(tree=Tree(leaf=Secret("secret"))) == adapter_options(network["m"], Tree, settings.source)
    with pytest.raises(ConfigError, match="is nested too deeply"):
        adapter_options(network["n"], Tree, settings.source)


@pytest.mark.parametrize("literal", ["*hunter2", "!hunter2 x", "!h!unter2", "'hunter2", "&hunter2 [", "@hunter2"])
def test_a_syntax_error_repeats_no_secret(tmp_path: Path, literal: str) -> None:
    """A literal secret without quotes may be anything in YAML; the parser's words do not show it."""
    with pytest.raises(ConfigError) as error:
        load(write(tmp_path, f"networks: {{n: {{adapter: x,\npassword: {literal}}}}}\n"), {})

    assert "unter2" not in str(error.value)
