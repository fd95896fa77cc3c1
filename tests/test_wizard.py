"""`omnibot init` makes a configuration that can be run as it is, or leaves nothing."""

import asyncio
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from adapters.irc import asking as irc_asking
from omnibot.adapter import Finding
from omnibot.app import find_instances, find_parts
from omnibot.catalogue import Instances
from omnibot.config import Settings, adapter_options, load
from omnibot.errors import ConfigError, Refused
from omnibot.registry import find_adapter
from omnibot.showing import shown
from omnibot.vault import Keyring
from omnibot.wizard import Talk, write, writing
from servers.discord.server import DiscordServer
from servers.irc.server import Irc
from servers.processes import fixed_ports
from servers.synapse.server import Synapse
from terminals import CTRL_D, Session, finished


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """Be as strict with files as a person's shell is, whatever an earlier test has made of it."""
    before = os.umask(0o022)
    yield
    os.umask(before)


class Unseen(NamedTuple):
    """Something that is typed where it is not shown."""

    text: str


type Turn = tuple[str, str | Unseen | type[BaseException]]
"""What the prompt has in it, and what is answered: or how somebody leaves."""


class Person:
    """Somebody at a terminal, who answers *turns* and nothing else."""

    def __init__(self, *turns: Turn) -> None:
        self.said: list[str] = []
        self._turns: Iterator[Turn] = iter(turns)
        self._answered = 0

    @property
    def talk(self) -> Talk:
        return Talk(
            self.said.append, lambda prompt: self._answer(prompt, str), lambda prompt: self._answer(prompt, Unseen)
        )

    def _answer(self, prompt: str, kind: type) -> str:
        awaited, answer = next(self._turns, ("nothing more", ""))
        assert awaited in prompt, f"asked {prompt!r}, and waited for {awaited!r}"
        self._answered += 1
        if isinstance(answer, type):
            raise answer
        assert isinstance(answer, kind), f"{prompt!r} is {'' if kind is Unseen else 'not '}unseen"
        return answer.text if isinstance(answer, Unseen) else answer

    @property
    def has_said_all(self) -> bool:
        return next(self._turns, None) is None

    def text(self) -> str:
        return "\n".join(self.said)


NO_URL: Turn = ("Public address", "")
NO_NETWORK: Turn = ("Network (", "")
NO_SERVICE: Turn = ("Service (", "")
NO_ADMIN: Turn = ("Admin, as", "")
NO_UNIT: Turn = ("systemd", "")
WRITE: Turn = ("Write ", "")
END = (NO_SERVICE, NO_ADMIN, NO_UNIT, WRITE)
IRC = (("Network (", "irc"), ("called here", "home"), ("Server", "irc.example.org"), ("TLS", ""), ("Port", ""))


def made(path: Path, *turns: Turn, public_url: str = "", status: int = 0) -> tuple[Person, "Made"]:
    """Let somebody answer *turns*, all of which are asked; return them, and what the bot makes of the file."""
    person = Person(*turns)
    assert status == write(path, yes=False, public_url=public_url, talk=person.talk)
    assert person.has_said_all
    return person, Made(load(path, {}))


class Made:
    """What the bot makes of the file that was written."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @property
    def instances(self) -> Instances:
        """The services; it takes a while."""
        return find_instances(self.settings)

    @property
    def adapters(self) -> dict[str, Any]:
        """The options of each network, as its adapter is given them."""
        networks, source = self.settings.networks, self.settings.source
        return {
            name: adapter_options(one, find_adapter(one.adapter).Settings, source) for name, one in networks.items()
        }


def client_secret(parts: Made, provider: str) -> str:
    secret = parts.instances.get(provider, "default").client.client_secret
    assert secret is not None
    return secret.value


def files(folder: Path) -> dict[str, int]:
    """Every file there, with its mode."""
    found = (one for one in folder.rglob("*") if one.is_file())
    return {str(one.relative_to(folder)): one.stat().st_mode & 0o777 for one in found}


# ------------------------------------------------------------------ asking nothing


def test_what_it_writes_can_be_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every part that it names is there, and so is a key; it says what to do next."""
    path = tmp_path / "config.yaml"
    status = write(path, yes=True, talk=Person().talk)
    settings = load(path, {})
    parts = find_parts(settings)

    assert 0 == status
    assert (None, ("127.0.0.1", 8080)) == (settings.public_url, settings.listen)
    assert (["console"], ["accounts", "following", "help", "ping", "api", "admin"]) == (
        list(parts.adapters),
        [skill.name for skill in parts.skills],
    )
    assert 1 == len(Keyring.load(settings.key_file).ids)
    assert 0o700 == settings.data_dir.stat().st_mode & 0o777
    assert {"config.yaml", "data/omnibot.key"} == files(tmp_path).keys()
    said = capsys.readouterr().out
    assert f"Wrote {path} and the key {settings.key_file}." in said
    assert "Next: omnibot check, omnibot run" in said


def test_a_key_that_is_there_stays(tmp_path: Path) -> None:
    """It may be the only way to what the database holds."""
    write(tmp_path / "config.yaml", yes=True)
    before = Keyring.load(tmp_path / "data" / "omnibot.key").ids
    (tmp_path / "config.yaml").unlink()
    write(tmp_path / "config.yaml", yes=True)

    assert before == Keyring.load(tmp_path / "data" / "omnibot.key").ids


def test_a_configuration_that_is_there_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is not looked at, and nobody is asked; how it is added to is said."""
    (tmp_path / "config.yaml").write_text("mine", "utf-8")
    status = write(tmp_path / "config.yaml", yes=False, talk=Person().talk)

    assert (1, "mine") == (status, (tmp_path / "config.yaml").read_text("utf-8"))
    said = capsys.readouterr().err
    assert "exists already. Move it away" in said
    assert "an entry under `networks`" in said


@pytest.mark.parametrize("blocked", ["no/such/config.yaml", "file/config.yaml"])
@pytest.mark.parametrize("yes", [True, False])
def test_a_folder_that_is_not_there_is_named(tmp_path: Path, blocked: str, *, yes: bool) -> None:
    """In a sentence with a cure, and before anything is asked."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"cannot be made: .* Name a folder that is there"):
        write(tmp_path / blocked, yes=yes, talk=Person().talk)


# ------------------------------------------------------------------ the public address


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("https://bot.example.org", "https://bot.example.org"), ("  http://localhost:8080 ", "http://localhost:8080")],
)
def test_it_asks_where_browsers_reach_the_bot(tmp_path: Path, answer: str, expected: str) -> None:
    """What was answered is the public address."""
    person, parts = made(tmp_path / "config.yaml", ("Public address", answer), NO_NETWORK, *END)

    assert expected == parts.settings.public_url
    assert "Without one they paste an address back into the chat" in person.text()


@pytest.mark.parametrize("answer", ["", "   "])
def test_no_answer_is_none(tmp_path: Path, answer: str) -> None:
    """The key stands there, switched off, to be filled in later."""
    _, parts = made(tmp_path / "config.yaml", ("Public address", answer), NO_NETWORK, *END)

    assert None is parts.settings.public_url
    assert "# public_url: https://bot.example.org" in (tmp_path / "config.yaml").read_text("utf-8")


def test_an_address_given_is_not_asked_for(tmp_path: Path) -> None:
    """The rest is."""
    _, parts = made(tmp_path / "config.yaml", NO_NETWORK, *END, public_url="https://bot.example.org")

    assert "https://bot.example.org" == parts.settings.public_url


NO_ADDRESSES = ["bot.example.org", "http://bot.example.org", "https://bot.example.org # mine", 'https://a"b: {x}']


@pytest.mark.parametrize("answer", NO_ADDRESSES)
def test_what_is_no_address_is_asked_for_again(tmp_path: Path, answer: str) -> None:
    """The whole of it is refused, and nothing of it is read as something else."""
    person, parts = made(tmp_path / "config.yaml", ("Public address", answer), NO_URL, NO_NETWORK, *END)

    assert None is parts.settings.public_url
    assert any(line.startswith("  public_url: ") for line in person.said)


@pytest.mark.parametrize("given", [*NO_ADDRESSES, 'https://a"b\nlisten: x'])
def test_what_is_no_address_leaves_nothing(tmp_path: Path, given: str) -> None:
    """Where it was given on the command line."""
    with pytest.raises(ConfigError, match="public_url"):
        write(tmp_path / "config.yaml", yes=True, public_url=given)

    assert [] == list(tmp_path.iterdir())


# ------------------------------------------------------------------ networks


def test_a_network_whose_password_goes_into_a_file(tmp_path: Path) -> None:
    """The file is its owner's alone, and the configuration only names it."""
    path = tmp_path / "config.yaml"
    rest = (("nick", "bot"), ("services account", "bot"), ("password", Unseen("geheim: #1")), ("Channels", "lab #b"))
    person, parts = made(path, NO_URL, *IRC, *rest, ("log in", "n"), NO_NETWORK, *END)
    settings = parts.adapters["home"]

    assert {"home"} == parts.adapters.keys()
    assert ("irc.example.org", "bot", ["#lab", "#b"]) == (settings.host, settings.nick, settings.channels)
    assert "geheim: #1" == settings.sasl.password.value
    assert {"config.yaml": 0o644, "data/omnibot.key": 0o600, "secrets/home-sasl-password": 0o600} == files(tmp_path)
    assert 0o700 == (tmp_path / "secrets").stat().st_mode & 0o777
    assert "geheim" not in path.read_text("utf-8") + person.text()
    assert () == parts.settings.warnings
    assert "home: It joins #lab, #b by itself" in person.text()


@pytest.mark.parametrize("password", ['a"b\\c', "${HOME}", "file:/etc/passwd", "* & ! {}", "päss wörd"])
def test_a_password_of_any_kind(tmp_path: Path, password: str) -> None:
    """Nothing in it means anything, to YAML or to the configuration."""
    rest = (("nick", ""), ("services account", "bot"), ("password", Unseen(password)), ("Channels", ""))
    _, parts = made(tmp_path / "config.yaml", NO_URL, *IRC, *rest, ("log in", "n"), NO_NETWORK, *END)

    assert password == parts.adapters["home"].sasl.password.value


def test_mistakes_that_people_make(tmp_path: Path) -> None:
    """Each is told where it was made, and what was right is not asked for anew."""
    person, parts = made(
        tmp_path / "config.yaml",
        NO_URL,
        ("Network (", "irk"),
        ("Network (", "IRC"),
        ("called here", "My Network"),
        ("called here", "home"),
        ("Server", "irc://irc.example.org:6697/"),
        ("Server", "irc.example.org"),
        ("TLS", "perhaps"),
        ("TLS", "no"),
        ("Port", "66x7"),
        ("Port", "6667"),
        ("nick", "7of9"),
        ("services account", "bot"),
        ("password", Unseen("")),
        ("doing without", ""),
        ("password", Unseen("tab\tbed")),
        ("password", Unseen(" geheim ")),
        ("space", ""),
        ("Channels", ""),
        ("What now? correct, leave out", "quit"),
        ("What now?", "c"),
        ("Server, as irc.libera.chat [irc.example.org]", ""),
        ("TLS", "yes"),
        ("- for none [6667]", "-"),
        ("nick [7of9]", "seven"),
        ("- for none [bot]", ""),
        ("empty: as before", Unseen("")),
        ("Channels", ""),
        ("log in", "no"),
        ("Network (", "irc"),
        ("called here", "home"),
        ("[irc]", ""),
        ("Server", ""),
        ("Leave this network out?", "y"),
        NO_NETWORK,
        *END,
    )
    settings, said = parts.adapters["home"], person.text()

    assert {"home"} == parts.adapters.keys()
    assert (True, None, "seven", "geheim") == (settings.tls, settings.port, settings.nick, settings.sasl.password.value)
    assert 'irk is none of them. Did you mean "irc"?' in said
    assert "Use a to z, 0 to 9 and dashes" in said
    assert "only the name of the server" in said
    assert "yes, no, or sha256:" in said
    assert "a number from 1 to 65535" in said
    assert "characters that no password has" in said
    assert "networks.home.nick: a nick begins with a letter" in said
    assert "quit is none of correct, leave out." in said
    assert "There is a home already." in said
    assert "irc is left out." in said


@pytest.mark.parametrize(
    ("fails", "says"),
    [
        ([Finding("wrong", "no such host.", "Correct it.")], "WRONG no such host. Correct it."),
        (Refused("it is banned", cure="Ask why."), "WRONG it is banned. Ask why."),
        (RuntimeError("geheim"), "WRONG It could not be tried (RuntimeError)."),
        (TimeoutError(), "WRONG There was no answer in"),
    ],
)
@pytest.mark.parametrize("then", ["correct", "keep", "leave out"])
def test_a_try_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: Sequence[Finding] | Exception, says: str, then: str
) -> None:
    """It is corrected, kept as it is, or left out; whatever an adapter raises ends nothing."""

    async def attempt(settings: object) -> Sequence[Finding]:
        if getattr(settings, "nick", "") == "right":
            return [Finding("good", "it lets the bot in.")]
        if isinstance(fails, Exception):
            raise fails
        return fails

    setup = irc_asking.setup
    monkeypatch.setattr("adapters.irc.setup", type(setup)(setup.title, questions=setup.questions, attempt=attempt))
    rest: tuple[Turn, ...] = (("services account", ""), ("Channels", ""), ("log in", ""))
    turns: list[Turn] = [*IRC, ("nick", "wrong"), *rest, ("What now? correct, keep, leave out", then)]
    if then == "correct":
        turns += [("Server", ""), ("TLS", ""), ("Port", ""), ("nick [wrong]", "right"), *rest]
    person, parts = made(tmp_path / "config.yaml", NO_URL, *turns, NO_NETWORK, *END)

    assert any(says in line for line in person.said), person.said
    assert "geheim" not in person.text()
    nicks = {"correct": ["right"], "keep": ["wrong"], "leave out": []}[then]
    assert nicks == [parts.adapters[name].nick for name in parts.adapters if name == "home"]


def test_a_network_on_a_real_server(tmp_path: Path, irc: Irc) -> None:
    """A wrong password is noticed, corrected, and then the login works; nobody is left there."""
    irc.register("omnibot", "geheim-right")
    pin = f"sha256:{irc.fingerprint}"
    person, parts = made(
        tmp_path / "config.yaml",
        NO_URL,
        ("Network (", "irc"),
        ("called here", ""),
        ("Server", "127.0.0.1"),
        ("TLS", pin),
        ("Port", str(irc.tls_port)),
        ("nick", ""),
        ("services account", "omnibot"),
        ("password", Unseen("geheim-wrong")),
        ("Channels", "#lab"),
        ("log in", ""),
        ("What now?", ""),
        ("Server", ""),
        ("TLS", ""),
        ("Port", ""),
        ("nick", ""),
        ("services account", ""),
        ("password", Unseen("geheim-right")),
        ("Channels", ""),
        ("log in", ""),
        NO_NETWORK,
        *END,
    )

    assert "services did not accept the name and password" in person.text()
    assert "lets the bot in as omnibot, logged in as omnibot." in person.text()
    assert "geheim-right" == parts.adapters["irc"].sasl.password.value
    assert [] == irc.nicks()


def test_an_account_on_a_real_homeserver(tmp_path: Path, synapse: Synapse) -> None:
    """It logs in and out."""
    account = synapse.register("bot", "geheim-m")
    person, parts = made(
        tmp_path / "config.yaml",
        NO_URL,
        ("Network (", "matrix"),
        ("called here", "home"),
        ("homeserver", synapse.url),
        ("whole name", "bot"),
        ("whole name", account.mxid),
        ("password", Unseen("geheim-m")),
        ("log in", ""),
        NO_NETWORK,
        *END,
    )

    assert f"lets {account.mxid} in by password." in person.text()
    assert f"home: Invite {account.mxid} to a room" in person.text()
    assert "geheim-m" == parts.adapters["home"].password.value
    assert [] == list(synapse.devices(account.mxid))


async def test_a_bot_on_discord(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its token is tried, and the invitation printed."""
    async with DiscordServer() as server:
        monkeypatch.setattr("adapters.discord.client._API", server.api)
        turns: list[Turn] = [
            NO_URL,
            ("Network (", "discord"),
            ("called here", ""),
            ("token", Unseen("abcdefgh")),
            ("token", Unseen("x" * 24 + ".yyyyyy." + "z" * 30)),
            ("log in", ""),
            ("What now?", "c"),
            ("token", Unseen(server.token)),
            ("log in", ""),
            NO_NETWORK,
            *END,
        ]
        person, parts = await asyncio.to_thread(made, tmp_path / "config.yaml", *turns)

    assert "no bot's token" in person.text()
    assert "Discord does not take the bot's token." in person.text()
    assert f"it is invited with https://discord.com/oauth2/authorize?client_id={server.application_id}" in person.text()
    assert server.token == parts.adapters["discord"].token.value
    assert server.token not in person.text()


def test_two_networks_of_a_kind(tmp_path: Path) -> None:
    """Another name is proposed for the second, and their secrets lie apart; this terminal may stand beside them."""
    rest: tuple[Turn, ...] = (("nick", ""), ("services account", "bot"))
    more: tuple[Turn, ...] = (("Channels", ""), ("log in", "n"))
    first: tuple[Turn, ...] = (("Network (", "irc"), ("[irc]", ""), *IRC[2:], *rest, ("password", Unseen("a")), *more)
    second = (("Network (", "irc"), ("[irc-2]", ""), *IRC[2:], *rest, ("password", Unseen("b")), *more)
    console: tuple[Turn, ...] = (("Network (", "console"), ("[console]", ""))
    person, parts = made(tmp_path / "config.yaml", NO_URL, *first, *second, *console, NO_NETWORK, *END)

    assert ["irc", "irc-2", "console"] == list(parts.adapters)
    assert ["a", "b"] == [parts.adapters[name].sasl.password.value for name in ("irc", "irc-2")]
    assert "console: It is this terminal" in person.text()


# ------------------------------------------------------------------ services and admins


def test_services(tmp_path: Path) -> None:
    """Each is asked for what it needs; its redirect URI is shown to the letter, and its skill comes along."""
    person, parts = made(
        tmp_path / "config.yaml",
        ("Public address", "https://bot.example.org"),
        NO_NETWORK,
        ("Service (", "githb"),
        ("Service (", "?"),
        ("Service (", "github"),
        ("Client id", "Iv1.abc"),
        ("Client secret", Unseen("geheim-g")),
        ("Service (", "oidc"),
        ("issuer", "login.example.org"),
        ("Client id", ""),
        ("What now?", "correct"),
        ("issuer", "https://login.example.org"),
        ("Client id", "omnibot"),
        ("Client secret", Unseen("geheim-o")),
        ("Service (", "redmine"),
        ("address", "https://redmine.example.org"),
        ("Service (", "mastodon"),
        ("address", "ask"),
        ("Service (", "github"),
        ("Service (", "trello"),
        ("Consumer key", "k"),
        ("Consumer secret", Unseen("s")),
        ("Service (", "spotify"),
        ("Client id", ""),
        ("What now?", "l"),
        *END,
    )
    instances, said = parts.instances, person.text()

    assert ["github@default", "oidc@default", "redmine@default", "trello@default"] == sorted(instances.keys())
    assert "geheim-g" == client_secret(parts, "github")
    assert {"mastodon": "ask"} == dict(instances.at_hosts())
    assert {"github", "redmine", "mastodon"} <= set(parts.settings.skills)
    assert "Redirect URI, to the letter: https://bot.example.org/callback/github/default" in said
    assert "https://github.com/settings/developers" in said
    assert 'There is no githb. Did you mean "github"?' in said
    assert "github is there already." in said
    assert "geheim" not in said
    assert {"secrets/github-client-secret", "secrets/oidc-client-secret"} <= files(tmp_path).keys()


def test_the_redirect_uri_without_a_public_address(tmp_path: Path) -> None:
    """It is the one that browsers show in the end, as `omnibot providers show` has it."""
    turns: tuple[Turn, ...] = (("Service (", "github"), ("Client id", "x"), ("Client secret", Unseen("y")))
    person, _ = made(tmp_path / "config.yaml", NO_URL, NO_NETWORK, *turns, *END)
    uri = "http://127.0.0.1:9/callback/github/default"

    assert f"Redirect URI, to the letter: {uri}" in person.text()
    assert f"redirect URI   {uri}".split() == next(
        line.split() for line in shown("github", load(tmp_path / "config.yaml", {})) if line.startswith("redirect URI")
    )


def test_admins(tmp_path: Path) -> None:
    """Each by their qualified name, which is explained; a mistake is told, and loses nothing."""
    answers = ("ada", "libera:ada", "console:ada", "console:ada", "console:grace", "")
    turns: list[Turn] = [("Admin, as", answer) for answer in answers]
    person, parts = made(tmp_path / "config.yaml", NO_URL, NO_NETWORK, NO_SERVICE, *turns, NO_UNIT, WRITE)

    assert ("console:ada", "console:grace") == parts.settings.admins
    assert '"ada" is nobody. Write network:subject' in person.text()
    assert '"libera:ada" is on no network of this file' in person.text()
    assert "`!whoami`" in person.text()
    assert "console:SUBJECT, where SUBJECT is" in person.text()


# ------------------------------------------------------------------ writing


def test_a_unit_for_systemd(tmp_path: Path) -> None:
    """It runs this very installation, on this very configuration."""
    unit: tuple[Turn, ...] = (("systemd", "yes"), ("The user as whom", "omnibot"))
    person, _ = made(tmp_path / "config.yaml", NO_URL, NO_NETWORK, NO_SERVICE, NO_ADMIN, *unit, WRITE)
    text = (tmp_path / "omnibot.service").read_text("utf-8")

    assert f"run --config {tmp_path / 'config.yaml'}\n" in text
    assert "User=omnibot\n" in text
    assert f"ReadWritePaths={tmp_path / 'data'}\n" in text
    assert "LoadCredential" not in text
    assert f"sudo systemctl enable --now {tmp_path / 'omnibot.service'}" in person.text()


def test_a_unit_that_is_there_stays(tmp_path: Path) -> None:
    """Nobody is asked for another."""
    (tmp_path / "omnibot.service").write_text("mine", "utf-8")
    made(tmp_path / "config.yaml", NO_URL, NO_NETWORK, NO_SERVICE, NO_ADMIN, WRITE)

    assert "mine" == (tmp_path / "omnibot.service").read_text("utf-8")


def test_a_user_that_is_none_is_asked_for_again(tmp_path: Path) -> None:
    """Before anything is written."""
    unit: tuple[Turn, ...] = (("systemd", "y"), ("The user as whom", "a b"), ("The user as whom", "bot"))
    person, _ = made(tmp_path / "config.yaml", NO_URL, NO_NETWORK, NO_SERVICE, NO_ADMIN, *unit, WRITE)

    assert "'a b' is not the name of a user" in person.text()
    assert "User=bot\n" in (tmp_path / "omnibot.service").read_text("utf-8")


def test_a_unit_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    """The folder has a name that no unit can hold."""
    folder = tmp_path / "a\nb"
    folder.mkdir()
    person = Person(NO_URL, NO_NETWORK, NO_SERVICE, NO_ADMIN, ("systemd", "y"), ("The user", "bot"), WRITE)
    with pytest.raises(ConfigError, match="no unit can be made: "):
        write(folder / "config.yaml", yes=False, talk=person.talk)

    assert [] == list(folder.iterdir())


def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There the file is renamed."""

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    made(tmp_path / "config.yaml", NO_URL, NO_NETWORK, *END)

    assert {"config.yaml", "data/omnibot.key"} == files(tmp_path).keys()


def test_secrets_of_before_are_not_written_over(tmp_path: Path) -> None:
    """They are still somebody's: the new one gets another name."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "github-client-secret").write_text("old", "utf-8")
    turns: tuple[Turn, ...] = (("Service (", "github"), ("Client id", "x"), ("Client secret", Unseen("new")))
    _, parts = made(tmp_path / "config.yaml", NO_URL, NO_NETWORK, *turns, *END)

    assert "old" == (tmp_path / "secrets" / "github-client-secret").read_text("utf-8")
    assert "new" == client_secret(parts, "github")


LOGIN: tuple[Turn, ...] = (("nick", ""), ("services account", "bot"), ("password", Unseen("geheim")), ("Channels", ""))
ALL: tuple[Turn, ...] = (NO_URL, *IRC, *LOGIN, ("log in", "n"), NO_NETWORK, *END)


@pytest.mark.parametrize("when", range(len(ALL)))
def test_who_leaves_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str], when: int) -> None:
    """At whatever question."""
    leaves = (EOFError, KeyboardInterrupt)[when % 2]
    person = Person(*ALL[:when], (ALL[when][0], leaves))
    status = write(tmp_path / "config.yaml", yes=False, talk=person.talk)

    assert (1 if leaves is EOFError else 130) == status
    assert [] == list(tmp_path.iterdir())
    assert "Stopped: nothing was written." in capsys.readouterr().err


def test_who_says_no_in_the_end_leaves_nothing(tmp_path: Path) -> None:
    """All was asked, and nothing is written."""
    person = Person(*ALL[:-1], ("Write ", "n"))
    status = write(tmp_path / "config.yaml", yes=False, talk=person.talk)

    assert (1, []) == (status, list(tmp_path.iterdir()))
    assert "Nothing was written." == person.said[-1]


@pytest.mark.parametrize("name", ["load", "new_key_file", "os.link"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_writing_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException
) -> None:
    """At any step of it: neither a secret nor a key lies about."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(os, "link", fail) if name == "os.link" else monkeypatch.setattr(writing, name, fail)
    if isinstance(error, KeyboardInterrupt):
        assert 130 == write(tmp_path / "config.yaml", yes=False, talk=Person(*ALL).talk)
    else:
        with pytest.raises(ConfigError, match="cannot be made: No space left on device"):
            write(tmp_path / "config.yaml", yes=False, talk=Person(*ALL).talk)

    assert [] == list(tmp_path.iterdir())


def test_one_that_somebody_made_meanwhile_stays(tmp_path: Path) -> None:
    """While the questions were being answered."""
    path = tmp_path / "config.yaml"

    class Late(Person):
        def _answer(self, prompt: str, kind: type) -> str:
            if "Write " in prompt and "now?" in prompt:
                path.write_text("theirs", "utf-8")
            return super()._answer(prompt, kind)

    with pytest.raises(ConfigError, match="cannot be made: File exists"):
        write(path, yes=False, talk=Late(*ALL).talk)

    assert {"config.yaml": 0o644} == files(tmp_path)
    assert "theirs" == path.read_text("utf-8")


@pytest.mark.parametrize(("answer", "times"), [("", 1), ("n", 0), (EOFError, 0), (KeyboardInterrupt, 0)])
def test_it_offers_to_look_all_over(tmp_path: Path, answer: str | type[BaseException], times: int) -> None:
    """At the end, when all is written."""
    looked: list[bool] = []
    person = Person(NO_URL, NO_NETWORK, *END, ("omnibot check", answer))
    path = tmp_path / "config.yaml"
    status = write(path, yes=False, talk=person.talk, check=lambda: looked.append(path.exists()))

    assert (0, [True] * times) == (status, looked)
    assert path.exists()


def test_what_it_writes_is_explained(tmp_path: Path) -> None:
    """Comments stand at every part, and what was answered is quoted YAML."""
    made(tmp_path / "config.yaml", *ALL)
    text = (tmp_path / "config.yaml").read_text("utf-8")

    assert {"username": "bot", "password": "file:secrets/home-sasl-password"} == (
        yaml.safe_load(text)["networks"]["home"]["sasl"]
    )
    assert text.count("\n#") > 20


# ------------------------------------------------------------------ at a terminal


def test_nobody_to_ask_is_said(tmp_path: Path) -> None:
    """Where standard input is no terminal; with the address, the rest is as proposed."""
    nobody = finished("init", folder=tmp_path, typed="https://bot.example.org\n")

    assert (1, []) == (nobody.returncode, list(tmp_path.iterdir()))
    assert "There is nobody to ask. `omnibot init --yes` asks nothing." in nobody.stderr

    given = finished("init", "--public-url", "https://bot.example.org", folder=tmp_path)

    assert (0, "") == (given.returncode, given.stderr)
    assert "https://bot.example.org" == load(tmp_path / "config.yaml", {}).public_url


def test_at_a_terminal(tmp_path: Path) -> None:
    """As a person does it: what is secret is not shown, and in the end everything is looked over."""
    with Session("init", folder=tmp_path, terminal=True) as session:
        for awaited, answer in (
            (r"empty: none\): ", ""),
            (r"try things out\): ", "irc"),
            (r"later \[irc\]: ", ""),
            (r"chat: ", "127.0.0.1"),
            (r"\[yes\]: ", ""),
            (r"6667\): ", str(fixed_ports(1)[0])),
            (r"\[omnibot\]: ", ""),
            (r"has none: ", "bot"),
            (r"not shown\): ", "geheim-t"),
            (r"between: ", ""),
            (r"\[Y/n\]: ", "y"),
            (r"WRONG no connection to 127\.0\.0\.1:(?s:.*)\[C/k/l\]: ", "k"),
            (r"no other\): ", ""),
            (r"no other\): ", ""),
            (r"no other\): ", ""),
            (r"\[y/N\]: ", ""),
            (r"now\? \[Y/n\]: ", ""),
            (r"omnibot check\) \[Y/n\]: ", "y"),
        ):
            session.wait(awaited)
            session.type(f"{answer}\n")
        session.wait(r"is understood: networks irc")
        status = session.ends()

    assert 0 == status
    assert "geheim-t" not in session.screen
    assert "geheim-t\n" == (tmp_path / "secrets" / "irc-sasl-password").read_text("utf-8")


@pytest.mark.parametrize("status", [130, 1])
def test_who_leaves_a_terminal(tmp_path: Path, status: int) -> None:
    """In the middle of a secret, which is the hardest place: by Ctrl-C, or by the end of input."""
    with Session("init", "--public-url", "https://bot.example.org", folder=tmp_path, terminal=True) as session:
        for awaited, answer in ((r"out\): ", ""), (r"no other\): ", "github"), (r"alone\): ", "x")):
            session.wait(awaited)
            session.type(f"{answer}\n")
        session.wait(r"not shown\): ")
        if status == 1:
            session.type(CTRL_D)
        else:
            session.signal(signal.SIGINT)

        assert status == session.ends()

    assert "Stopped: nothing was written." in session.screen
    assert [] == list(tmp_path.iterdir())
