"""The operator's configuration: one YAML file, checked whole, read by assembly alone.

`load` gives `Settings`, or a `ConfigError` with everything that is wrong, each with file
and line.  What an adapter wants of its network is checked by `adapter_options` against
the adapter's own model, once assembly has imported it; `Findings` gathers what such
later steps find.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from omnibot.catalogue import ProviderSettings
from omnibot.configfile import (
    CONSOLE,
    File,
    InstancePart,
    IPNetwork,
    NetworkPart,
    ProviderPart,
    RoomPart,
    RulePart,
    Surroundings,
)
from omnibot.errors import ConfigError, Problem
from omnibot.identity import Assurance
from omnibot.limits import Rates
from omnibot.policy import Room, Rule
from omnibot.source import Source
from omnibot.yamlfile import read

KEY_NAME = "omnibot.key"
"""What the key file is called where the configuration does not say: in systemd's credentials, or the data."""


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """One network, as the file has it; its options are not checked yet."""

    name: str
    adapter: str
    """For `registry.find_adapter`."""

    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Every other key, as it was written: for `adapter_options`."""

    line: int = 1
    confirm: Literal["code", "login"] = "code"
    """How a link asked for there is proven to be the asker's: by a code said in chat, or by a login at the browser."""


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What is logged, and how it looks."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["pretty", "json"] = "pretty"


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration, checked; its paths are absolute, what they name need not exist."""

    source: Source = field(repr=False, compare=False)
    """The file itself, for what is checked later."""

    public_url: str | None
    """Where browsers reach the listener, no slash at the end; None: accounts are linked by paste-back."""

    listen: tuple[str, int]
    paste_port: int
    data_dir: Path
    key_file: Path
    prefix: str
    networks: Mapping[str, NetworkSettings]
    """By name; at least one."""

    providers: Mapping[str, ProviderSettings]
    skills: tuple[str, ...]
    skills_dir: Path | None
    catalogue_dir: Path | None
    admins: tuple[str, ...]
    """Qualified identities, ``network:subject``, each on one of the networks."""

    policy: tuple[Rule, ...]
    rooms: tuple[Room, ...]
    limits: Rates
    trusted_proxies: tuple[IPNetwork, ...]
    keep_audit: float | None
    """Seconds for which what people did is on record; None: for ever."""

    log: LogSettings
    metrics: tuple[str, int] | None
    """Host and port where Prometheus may read what the bot counts; None: nowhere."""

    command_timeout: float
    """Seconds."""

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What works and should be mended: literal secrets, also those that `adapter_options` has met so far."""
        return tuple(dict.fromkeys(self.source.warnings))


class Findings:
    """Problems gathered over several steps, so that an operator hears of all of them at once.

    Each step is a ``with`` block of its own::

        findings = Findings(settings.source)
        for network in settings.networks.values():
            with findings:
                options[network.name] = adapter_options(network, model, settings.source)
        findings.raise_any()
    """

    def __init__(self, source: Source) -> None:
        """Gather for the file *source*: none of its secrets is in what comes out."""
        self.problems: list[Problem] = []
        self._source = source

    def __enter__(self) -> None:
        """Gather what the block raises."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        """Keep the problems of a `ConfigError`, and go on behind the block; let everything else through."""
        if isinstance(error, ConfigError):
            self.problems += map(self._source.hide, error.problems)
        return isinstance(error, ConfigError)

    def raise_any(self) -> None:
        """Raise all that was gathered, if anything was.

        Raises:
            ConfigError: with all of it, in the order in which it was found.
        """
        if self.problems:
            raise ConfigError(*self.problems)


def load(path: Path, env: Mapping[str, str]) -> Settings:
    """Read the configuration at *path*; variables are looked up in *env*.

    Raises:
        ConfigError: it cannot be used; every problem is in the error.
    """
    if not path.exists():
        cure = "Make one: omnibot init. Or name yours: --config FILE."
        raise ConfigError(Problem(str(path), "", "there is no such file", cure))
    document = read(path)
    source = Source(document, path.absolute().parent, env)
    findings = Findings(source)
    findings.problems += document.duplicates
    settings = None
    with findings:
        data = _without_empty(document.data)
        around = Surroundings(_network_names(data))
        settings = _settings(source.check(data, File, context=around), source, env)
    findings.raise_any()
    assert settings is not None
    return settings


def adapter_options[M: BaseModel](network: NetworkSettings, model: type[M], source: Source) -> M:
    """Return the options of *network* as its adapter's *model*; *source* is that of the settings.

    Fields of type `Secret` are made of references.  A key that the model does not know is a
    problem, whatever the model has to say about such keys.

    Raises:
        ConfigError: they do not fit; every problem is in the error.
    """
    return source.check(network.options, model, ("networks", network.name), extra="forbid")


def _without_empty(data: Any) -> Any:
    """Return *data* without the keys that have nothing, or only comments, behind them."""
    if not isinstance(data, dict):
        return data
    return {key: value for key, value in data.items() if value is not None}


def _network_names(data: Any) -> tuple[str, ...]:
    """Return what the networks are called, whatever else is wrong with them."""
    networks = data.get("networks") if isinstance(data, dict) else None
    return tuple(map(str, networks)) if isinstance(networks, dict) and networks else (CONSOLE,)


def _settings(file: File, source: Source, env: Mapping[str, str]) -> Settings:
    """Return what the rest of the bot works with."""
    data_dir = file.data_dir or source.folder / "data"
    return Settings(
        source=source,
        public_url=file.public_url,
        listen=file.listen,
        paste_port=file.paste_port,
        data_dir=data_dir,
        key_file=file.key_file or _credential(env) or data_dir / KEY_NAME,
        prefix=file.prefix,
        networks=_networks(file.networks or {CONSOLE: NetworkPart(adapter=CONSOLE)}, source),
        providers={name: _provider(part) for name, part in file.providers.items()},
        skills=tuple(file.skills),
        skills_dir=file.skills_dir,
        catalogue_dir=file.catalogue_dir,
        admins=tuple(file.admins),
        policy=tuple(_rule(part, source.where("policy", number)) for number, part in enumerate(file.policy)),
        rooms=tuple(_room(name, part, source.where("rooms", name)) for name, part in file.rooms.items()),
        limits=file.limits.rates(),
        trusted_proxies=tuple(file.trusted_proxies),
        keep_audit=None if file.audit.keep == "forever" else file.audit.keep * 86400.0,
        log=LogSettings(file.log.level, file.log.format),
        metrics=file.metrics.listen,
        command_timeout=file.command_timeout,
    )


def _rule(part: RulePart, at: str) -> Rule:
    """Return what *part*, which is written *at* a line of the file, says."""
    level = None if part.level is None else Assurance[part.level.upper()]
    return Rule(part.who, part.command, part.effect, part.channel, level, at)


def _room(name: str, part: RoomPart, at: str) -> Room:
    """Return what *part* says of the rooms that *name* fits."""
    return Room(name, None if part.skills is None else frozenset(part.skills), part.answers == "private", at)


def _credential(env: Mapping[str, str]) -> Path | None:
    """Return the key that systemd hands over, if it does: ``LoadCredential=omnibot.key:…``."""
    folder = env.get("CREDENTIALS_DIRECTORY")
    path = Path(folder) / KEY_NAME if folder else None
    return path if path and path.is_file() else None


def _networks(parts: Mapping[str, NetworkPart], source: Source) -> dict[str, NetworkSettings]:
    """Return the networks by name."""
    return {
        name: NetworkSettings(name, part.adapter, part.options, source.document.line(("networks", name)), part.confirm)
        for name, part in parts.items()
    }


def _provider(part: InstancePart) -> ProviderSettings:
    """Return a provider's settings, or those of one instance of it."""
    instances = part.instances if isinstance(part, ProviderPart) else {}
    return ProviderSettings(
        client_id=part.client_id,
        client_secret=part.client_secret,
        consumer_key=part.consumer_key,
        consumer_secret=part.consumer_secret,
        issuer=part.issuer,
        base=part.base,
        api=part.api,
        apis=part.apis,
        request_url=part.request_url,
        authorize_url=part.authorize_url,
        token_url=part.token_url,
        revoke_url=part.revoke_url,
        device_url=part.device_url,
        origins=tuple(part.origins),
        whoami=part.whoami,
        scopes=tuple(part.scopes),
        methods=None if part.methods is None else tuple(part.methods),
        paste=part.paste,
        chat_keys=part.chat_keys,
        extra_scopes=part.extra_scopes,
        device=part.device,
        pin=part.pin,
        instances={alias: one if isinstance(one, str) else _provider(one) for alias, one in instances.items()},
    )
