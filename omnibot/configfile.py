"""What the configuration file looks like: its keys, and what each may hold."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    ValidationInfo,
)

from omnibot.catalogue import ANY
from omnibot.limits import Rate, Rates
from omnibot.provider import ExtraScopes, Secret
from omnibot.wire import origin_of
from omnibot.yamlfile import BadValueError, did_you_mean, shown

type IPNetwork = IPv4Network | IPv6Network

CONSOLE = "console"
"""The one network, and its adapter, of a file that names none."""

_NAME = re.compile(r"[a-z0-9-]{1,32}")
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_ALIAS = re.compile(r"[^:]*:#[^:]*:.*")
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a value is checked against: the context of a validation."""

    networks: tuple[str, ...]
    """Names of the networks in the file, right or wrong."""


def surroundings(info: ValidationInfo) -> Surroundings:
    """Return what the validation at hand was given."""
    assert isinstance(info.context, Surroundings)
    return info.context


def _text(value: object) -> str:
    """Return *value* if it is text."""
    if not isinstance(value, str):
        raise BadValueError(f"{shown(value, ())} is not text", "Put it in quotes.")
    return value


def _public_url(value: object) -> str:
    """Return the address in its shortest spelling, without a slash at its end."""
    text = _text(value)
    try:
        origin = origin_of(text)
        host = urlsplit(origin).hostname or ""
    except ValueError:
        origin = host = ""
    if not _is_host(host):
        raise BadValueError(f"{shown(text, ())} is not a web address", "Write https://bot.example.org, say.")
    if origin.startswith("http:") and not is_loopback(host):
        cure = "Use https; plain http is for localhost and 127.0.0.1 only."
        raise BadValueError(f"{shown(text, ())} is not https", cure)
    default = ":443" if origin.startswith("https:") else ":80"
    if text.lower().removesuffix("/") not in {origin, f"{origin}{default}"}:
        raise BadValueError(f"{shown(text, ())} is more than scheme, host and port", f"Write {origin}.")
    return origin


def _listen(value: object) -> tuple[str, int]:
    """Return host and port; port 0 lets the system choose one."""
    text = _text(value)
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not _is_host(bare) or (":" in bare) != (bare != host):
        raise BadValueError(f"{shown(text, ())} is not host:port", "Write 127.0.0.1:8080 or [::1]:8080, say.")
    if not (re.fullmatch("[0-9]{1,5}", port) and int(port) <= 65535):
        raise BadValueError(f"{shown(port, ())} is not a port", "Choose one from 1 to 65535.")
    return bare, int(port)


def _is_host(text: str) -> bool:
    """Whether *text* is a host's name or an address, without brackets."""
    return bool(_HOST.fullmatch(text)) or (":" in text and "%" not in text and _is_address(text))


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether *host* can be nothing but this machine."""
    return host == "localhost" or (_is_address(host) and ip_address(host).is_loopback)


def _prefix(value: str) -> str:
    """Return what starts a command."""
    if not 1 <= len(value) <= 5 or not value.isprintable() or " " in value:
        cure = "Use 1 to 5 characters that print, and no space."
        raise BadValueError(f"{shown(value, ())} is no prefix", cure)
    return value


def _network_name(value: str) -> str:
    """Return a network's name."""
    if not _NAME.fullmatch(value):
        cure = "Use a to z, 0 to 9 and dashes, 32 at most."
        raise BadValueError(f"{shown(value, ())} is not a network's name", cure)
    return value


def _admin(value: str, info: ValidationInfo) -> str:
    """Return a qualified identity on a network there is."""
    network, _, subject = value.partition(":")
    if not subject or value != value.strip():
        cure = "Write network:subject, as in discord:123456789."
        raise BadValueError(f"{shown(value, ())} is nobody", cure)
    if "*" in value or "?" in value:
        cure = "Name each admin in full; patterns are for policy."
        raise BadValueError(f"{shown(value, ())} may be anybody", cure)
    networks = surroundings(info).networks
    if network not in networks:
        raise BadValueError(f"{shown(value, ())} is on no network of this file", _hint(network, networks))
    return value


def _who(value: str, info: ValidationInfo) -> str:
    """Return a pattern that can fit somebody: a rule that fits nobody would forbid nothing."""
    network, colon, _ = value.partition(":")
    networks = surroundings(info).networks
    if not colon and not value.endswith("*"):
        raise BadValueError(f"{shown(value, ())} fits nobody", "Write network:subject; * stands for anything.")
    if colon and not any(fnmatchcase(one, network) for one in networks):
        raise BadValueError(f"{shown(value, ())} fits no network of this file", _hint(network, networks))
    return value


def _where(value: str, info: ValidationInfo) -> str:
    """Return a pattern that can fit some room."""
    network, colon, _ = value.partition(":")
    networks = surroundings(info).networks
    if not colon and not value.endswith("*"):
        cure = "Write network:id, as in libera:#team, or network:(private); * stands for anything."
        raise BadValueError(f"{shown(value, ())} fits no room", cure)
    if colon and not any(fnmatchcase(one, network) for one in networks):
        raise BadValueError(f"{shown(value, ())} fits no network of this file", _hint(network, networks))
    if _ALIAS.fullmatch(value):
        cure = "Write the room's id, !abc:example.org; Element shows it in the room's settings, under Advanced."
        raise BadValueError(f"{shown(value, ())} is what a room is called just now", cure)
    return value


def _level(value: str | None, info: ValidationInfo) -> str | None:
    """Return how strongly a message is to be vouched for; forbidding what is at most strongly so is forbidding all."""
    if value == "strong" and info.data.get("effect") == "deny":
        cure = "Leave level out, or write level: account for those whose network vouches for them less."
        raise BadValueError("every message is vouched for at most strongly", cure)
    return value


def _rate(value: str) -> str:
    """Return how much of something there may be in how long a time."""
    try:
        Rate.read(value)
    except ValueError:
        cure = "Write 30/minute, 5/second, 100/hour, or off."
        raise BadValueError(f"{shown(value, ())} is no limit", cure) from None
    return value


def _hint(said: str, known: Iterable[str]) -> str:
    """Return the known word that was meant, or all of them."""
    known = sorted(known)
    return did_you_mean(said, known) or f"Choose one of: {', '.join(known)}."


def _proxies(value: object) -> IPNetwork:
    """Return the addresses of a proxy."""
    text = _text(value)
    try:
        return ip_network(text)
    except ValueError:
        cure = "Write 127.0.0.1 or 10.0.0.0/8, say."
    try:
        cure = f"Write {ip_network(text, strict=False)} for all of it, or one address."
    except ValueError:
        pass
    raise BadValueError(f"{shown(text, ())} is not an address or a network of them", cure)


type Word = Annotated[str, Field(min_length=1)]
type RateText = Annotated[str, AfterValidator(_rate)]


class Part(BaseModel):
    """What every part of the file is: of known keys only, and nothing taken for something else."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class InstancePart(Part):
    """What the operator says of one instance of a service; see `catalogue.ProviderSettings`."""

    client_id: str = ""
    client_secret: Secret | None = None
    consumer_key: str = ""
    consumer_secret: Secret | None = None
    issuer: str = ""
    base: str = ""
    api: str = ""
    apis: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,40}$")], str] = {}
    request_url: str = ""
    authorize_url: str = ""
    token_url: str = ""
    revoke_url: str = ""
    device_url: str = ""
    origins: list[str] = []
    whoami: str = ""
    scopes: list[str] = []
    methods: list[str] | None = None
    paste: bool | None = None
    chat_keys: bool | None = None
    extra_scopes: ExtraScopes | None = None
    device: bool | None = None
    pin: bool | None = None


def _kind(value: object) -> str:
    """Return which of its two forms an instance is written in."""
    return "whole" if isinstance(value, dict) else "address"


def _instances(value: object) -> object:
    """Return *value* with one word for all hosts written as the mapping that it stands for."""
    if not isinstance(value, str):
        return value
    if value not in ("ask", "any"):
        raise BadValueError(f"{shown(value, ())} is neither ask nor any", "Or name instances: alias and address.")
    return {ANY: value}


class ProviderPart(InstancePart):
    """What the operator says of one service, and of its instances."""

    instances: Annotated[
        dict[
            str,
            Annotated[Annotated[str, Tag("address")] | Annotated[InstancePart, Tag("whole")], Discriminator(_kind)],
        ],
        BeforeValidator(_instances),
    ] = {}


class NetworkPart(BaseModel):
    """What the core wants to know of a network; the rest is its adapter's."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    adapter: Word
    confirm: Literal["code", "login"] = "code"

    @property
    def options(self) -> dict[str, Any]:
        """Every other key."""
        return self.model_extra or {}


class RulePart(Part):
    """One rule of the policy."""

    who: Annotated[str, AfterValidator(_who)]
    command: Word
    effect: Literal["allow", "deny"]
    channel: Annotated[str, Field(alias="in"), AfterValidator(_where)] = "*"
    level: Annotated[Literal["account", "strong"] | None, AfterValidator(_level)] = None


class RoomPart(Part):
    """What the operator says of some rooms."""

    skills: list[Word] | None = None
    answers: Literal["private", "public"] = "public"


class LimitsPart(Part):
    """How much may be asked of the bot; `Rates` says of each what it is."""

    person: RateText = str(Rates().person)
    guest: RateText = str(Rates().guest)
    channel: RateText = str(Rates().channel)
    command: RateText = str(Rates().command)
    linking: RateText = str(Rates().linking)

    def rates(self) -> Rates:
        """Return them as numbers."""
        every = (self.person, self.guest, self.channel, self.command, self.linking)
        return Rates(*map(Rate.read, every))


class AuditPart(Part):
    """How long what people did is on record."""

    keep: Annotated[int, Field(ge=1, le=36500)] | Literal["forever"] = 365


class MetricsPart(Part):
    """Where Prometheus may read what the bot counts."""

    listen: Annotated[tuple[str, int], PlainValidator(_listen)] | None = None


class LogPart(Part):
    """What is logged, and how it looks."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["pretty", "json"] = "pretty"


class File(Part):
    """The whole file."""

    public_url: Annotated[str, PlainValidator(_public_url)] | None = None
    listen: Annotated[tuple[str, int], PlainValidator(_listen)] = ("127.0.0.1", 8080)
    paste_port: Annotated[int, Field(ge=1, le=65535)] = 9
    data_dir: Path | None = None
    key_file: Path | None = None
    prefix: Annotated[str, AfterValidator(_prefix)] = "!"
    networks: dict[Annotated[str, AfterValidator(_network_name)], NetworkPart] = {}
    providers: dict[str, ProviderPart] = {}
    skills: list[Word] = ["accounts", "following", "help", "ping", "api", "admin"]
    skills_dir: Path | None = None
    catalogue_dir: Path | None = None
    admins: list[Annotated[str, AfterValidator(_admin)]] = []
    policy: list[RulePart] = []
    rooms: dict[Annotated[str, AfterValidator(_where)], RoomPart] = {}
    limits: LimitsPart = LimitsPart()
    trusted_proxies: list[Annotated[IPNetwork, PlainValidator(_proxies)]] = []
    audit: AuditPart = AuditPart()
    log: LogPart = LogPart()
    metrics: MetricsPart = MetricsPart()
    command_timeout: Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)] = 60.0
