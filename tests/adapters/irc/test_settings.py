"""The options of an IRC network are checked before anything connects."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from pydantic import ValidationError

from adapters.irc import Settings
from adapters.irc.settings import Tls
from omnibot.config import adapter_options, load
from omnibot.errors import ConfigError
from servers.irc.certificates import Authority, self_signed


def settings(tmp_path: Path, options: str, **env: str) -> Settings:
    """Return what the bot makes of *options* in its file."""
    tmp_path.joinpath("config.yaml").write_text(f"networks:\n  libera:\n    adapter: irc\n{options}")
    found = load(tmp_path / "config.yaml", env)
    return adapter_options(found.networks["libera"], Settings, found.source)


def test_a_network_as_an_operator_writes_it(tmp_path: Path) -> None:
    """References become secrets, and nothing shows them."""
    tmp_path.joinpath("ops-key").write_text("sesame\n")
    fingerprint = "SHA256:" + ":".join(["AB"] * 32)
    options = f"""
    host: irc.libera.chat
    tls: {{fingerprint: "{fingerprint}"}}
    sasl: {{mechanism: SCRAM-SHA-256, username: omnibot, password: "${{PASSWORD}}"}}
    channels: ["#omnibot", {{name: "#ops", key: "file:ops-key"}}]
"""
    found = settings(tmp_path, options, PASSWORD="hunter2")

    assert ("irc.libera.chat", 6697) == found.address
    assert {"#omnibot": "", "#ops": "sesame"} == found.keys
    assert found.sasl is not None
    assert found.sasl.password is not None
    assert "hunter2" == found.sasl.password.value
    assert found.tls is not True
    assert found.tls
    assert "sha256:" + "ab" * 32 == found.tls.fingerprint
    assert not {"hunter2", "sesame"} & set(repr(found).replace("'", " ").split())


def test_what_is_wrong_is_said_with_its_line(tmp_path: Path) -> None:
    """And what the right key would have been."""
    with pytest.raises(ConfigError) as caught:
        settings(tmp_path, "    host: h\n    nik: bot\n")

    [problem] = caught.value.problems
    assert (problem.where.endswith("config.yaml:5"), "networks.libera.nik") == (True, problem.key)
    assert "nick" in f"{problem.what} {problem.cure}"


@pytest.mark.parametrize(("options", "address"), [({}, 6697), ({"tls": False}, 6667), ({"tls": False, "port": 1}, 1)])
def test_tls_is_the_default(options: dict[str, Any], address: int) -> None:
    """And its port with it."""
    assert ("h", address) == Settings(host="h", **options).address


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nick": "9lives"}, "nick"),
        ({"nick": "a b"}, "nick"),
        ({"nick": "#bot"}, "nick"),
        ({"nick": "a\r\nQUIT"}, "nick"),
        ({"nick": ""}, "nick"),
        ({"username": "a@b"}, "username"),
        ({"realname": "a\nQUIT"}, "realname"),
        ({"channels": ["nohash"]}, "channels"),
        ({"channels": ["#a,#b"]}, "channels"),
        ({"channels": ["#a b"]}, "channels"),
        ({"port": 0}, "port"),
        ({"host": "a b"}, "host"),
        ({"tls": {"fingerprint": "sha1:00"}}, "64 hexadecimal digits"),
        ({"tls": {"fingerprint": "ab" * 32}}, "64 hexadecimal digits"),
        ({"tls": {"fingerprint": "sha256:" + "ab" * 32, "ca": __file__}}, "instead of verification"),
        ({"tls": {"key": __file__}}, "needs its certificate"),
        ({"tls": {"ca": "/nowhere"}}, "/nowhere cannot be read: No such file or directory"),
        ({"tls": {"certificate": "/nowhere"}}, "/nowhere cannot be read: No such file or directory"),
        ({"tls": {"ca": __file__}}, "holds no certificates in PEM"),
        ({"tls": {"certificate": __file__}}, "holds no certificate in PEM with its key"),
        ({"sasl": {"mechanism": "EXTERNAL"}}, "certificate"),
        ({"pace": {"lines": 0}}, "pace"),
    ],
)
def test_what_cannot_work_is_refused(options: dict[str, Any], message: str) -> None:
    """At once, and by name."""
    with pytest.raises(ValidationError, match=message):
        Settings(**{"host": "h", **options})


def test_files_are_beside_the_configuration(tmp_path: Path) -> None:
    """Wherever the bot is started; what is not there is said with its line, before anything connects."""
    Authority(tmp_path).path.rename(tmp_path / "ca.pem")
    shown = self_signed(tmp_path, "shown")
    files = f"{{ca: ca.pem, certificate: {shown.path.name}, key: {shown.key_path.name}}}"

    found = settings(tmp_path, f"    host: h\n    tls: {files}\n")
    with pytest.raises(ConfigError) as caught:
        settings(tmp_path, "    host: h\n    tls:\n      ca: other.pem\n")

    assert isinstance(found.tls, Tls)
    assert (tmp_path / "ca.pem", shown.path, shown.key_path) == (found.tls.ca, found.tls.certificate, found.tls.key)
    assert [
        ("config.yaml:6", "networks.libera.tls.ca", f"{tmp_path}/other.pem cannot be read: No such file or directory")
    ] == [(one.where, one.key, one.what) for one in caught.value.problems]


@pytest.mark.parametrize(
    ("options", "key", "words"),
    [
        ("host: h\n    tls: {ca: config.yaml}", "tls", "holds no certificates in PEM"),
        ("host: h\n    tls: {certificate: config.yaml}", "tls", "holds no certificate in PEM with its key"),
        ("host: h\n    tls: {key: config.yaml}", "tls", "a key needs its certificate"),
        ("host: h:6697", "host", "port: 6697"),
        ("host: ircs://h", "host", "only the name"),
        ("host: h\n    channels: [ops]", "channels.0", "begins with #"),
        ("host: h\n    nick: 1bot", "nick", "begins with a letter"),
    ],
)
def test_what_people_get_wrong_is_told_how_to_mend(tmp_path: Path, options: str, key: str, words: str) -> None:
    """At its place, and in words that tell what it should be."""
    with pytest.raises(ConfigError) as caught:
        settings(tmp_path, f"    {options}\n")

    [problem] = caught.value.problems
    assert f"networks.libera.{key}" == problem.key
    assert words in f"{problem.what} {problem.cure}"


@pytest.mark.parametrize("host", ["2001:db8::6667", "irc.example.org", "localhost", "192.0.2.1"])
def test_hosts(host: str) -> None:
    """Names and addresses, also those whose colons are part of them."""
    assert host == Settings(host=host).host


def test_a_key_that_is_locked_is_refused(tmp_path: Path) -> None:
    """Nobody is asked for its password, on no terminal; nor is a key taken that is another certificate's."""
    one, other = self_signed(tmp_path, "one"), self_signed(tmp_path, "other")
    key = serialization.load_pem_private_key(one.key_path.read_bytes(), None)
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    locked = tmp_path / "locked.pem"
    locked.write_bytes(key.private_bytes(pem, pkcs8, serialization.BestAvailableEncryption(b"sesame")))

    for path in (locked, other.key_path):
        with pytest.raises(ValidationError, match="no certificate in PEM with its key, unencrypted"):
            Settings.model_validate({"host": "h", "tls": {"certificate": str(one.path), "key": str(path)}})


@pytest.mark.parametrize(
    ("sasl", "message"),
    [
        ("{username: bot}", "password"),
        ('{password: "${P}"}', "username"),
        ("{mechanism: ECDSA-NIST256P-CHALLENGE, username: bot}", "key"),
        ('{mechanism: DIGEST-MD5, username: bot, password: "${P}"}', "mechanism"),
    ],
)
def test_a_login_needs_its_parts(tmp_path: Path, sasl: str, message: str) -> None:
    """Each mechanism its own."""
    with pytest.raises(ConfigError, match=message):
        settings(tmp_path, f"    host: h\n    sasl: {sasl}\n", P="hunter2")


@pytest.mark.parametrize("secret", ['sasl: {username: bot, password: "${P}"}', 'password: "${P}"'])
def test_no_password_goes_in_the_clear_unless_the_operator_says_so(tmp_path: Path, secret: str) -> None:
    """Who listens on the way would have it."""
    options = f"    host: h\n    tls: false\n    {secret}\n"
    with pytest.raises(ConfigError, match="without TLS the password could be read"):
        settings(tmp_path, options, P="hunter2")

    assert settings(tmp_path, f"{options}    allow_plain: true\n", P="hunter2").allow_plain


def test_scram_may_go_over_a_plain_connection(tmp_path: Path) -> None:
    """It sends no password."""
    options = '    host: h\n    tls: false\n    sasl: {mechanism: SCRAM-SHA-256, username: b, password: "${P}"}\n'

    assert not settings(tmp_path, options, P="hunter2").secure


@pytest.mark.parametrize(("key", "value"), [("password", "a\nQUIT"), ("password", "x" * 500)])
def test_the_servers_password_is_one_line(tmp_path: Path, key: str, value: str) -> None:
    """And it is not in the error."""
    with pytest.raises(ConfigError, match="one line") as caught:
        settings(tmp_path, f'    host: h\n    {key}: "${{P}}"\n', P=value)

    assert value not in str(caught.value)


@pytest.mark.parametrize("value", ["a b", "a,b", ":a"])
def test_a_channels_key_is_one_word(tmp_path: Path, value: str) -> None:
    """Else it would be the key of another channel."""
    with pytest.raises(ConfigError, match="one word"):
        settings(tmp_path, '    host: h\n    channels: [{name: "#c", key: "${P}"}]\n', P=value)
