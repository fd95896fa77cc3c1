"""The operator's configuration: one YAML file, checked whole, read by assembly alone.

`load` gives `Settings`, or a `ConfigError` with everything that is wrong, each with file
and line.  What an adapter wants of its network is checked by `adapter_options` against
the adapter's own model, once assembly has imported it.

A value that is ``${NAME}`` and nothing else stands for an environment variable.  A value
that becomes a `Secret` may also be ``file:path``, for what is in that file.  No problem
repeats what came from either.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeAliasType, Union, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    ValidationError,
    ValidationInfo,
)

from omnibot.catalogue import ProviderSettings
from omnibot.errors import ConfigError, Problem
from omnibot.policy import Rule
from omnibot.provider import Secret
from omnibot.yamlfile import BadValueError, Document, Step, did_you_mean, problems, read, shown

type IPNetwork = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """One network, as the file has it; its options are not checked yet."""

    name: str
    adapter: str
    """Name of the adapter, for `registry.find_adapter`."""

    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Everything else, as it was written: for `adapter_options`."""

    line: int = 1


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What is logged, and how it looks."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["pretty", "json"] = "pretty"


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration, checked.  Paths begin at the configuration file's folder."""

    source: "Source" = field(repr=False)
    """The file itself, for what is checked later."""

    public_url: str | None
    """Where people's browsers reach the listener, no slash at the end; None: linking by paste-back."""

    listen: tuple[str, int]
    paste_port: int
    data_dir: Path
    key_file: Path
    prefix: str
    networks: Mapping[str, NetworkSettings]
    providers: Mapping[str, ProviderSettings]
    skills: tuple[str, ...]
    skills_dir: Path | None
    catalogue_dir: Path | None
    admins: tuple[str, ...]
    """Qualified identities: ``network:subject``."""

    policy: tuple[Rule, ...]
    trusted_proxies: tuple[IPNetwork, ...]
    log: LogSettings
    command_timeout: float
    """Seconds."""

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What works and should not stay: literal secrets, also those that `adapter_options` met so far."""
        return tuple(dict.fromkeys(self.source.warnings))


def load(path: Path, env: Mapping[str, str]) -> Settings:
    """Read the configuration at *path*, with the environment *env*.

    Raises:
        ConfigError: it cannot be used; every problem is in the error.
    """
    document = read(path)
    source = Source(document, path.absolute().parent, env)
    data = document.data
    if isinstance(data, dict):  # a key with nothing behind it, or only comments, is left out
        data = {key: value for key, value in data.items() if value is not None}
    context = _Context(source.folder, _network_names(data))
    try:
        file = source.check(data, _File, context=context)
    except ConfigError as error:
        raise ConfigError(*document.duplicates, *error.problems) from None
    if document.duplicates:
        raise ConfigError(*document.duplicates)
    return _settings(file, source)


def adapter_options[M: BaseModel](network: NetworkSettings, model: type[M], source: "Source") -> M:
    """Return the options of *network* as its adapter's *model*; *source* is that of the settings.

    Fields of type `Secret` take references to secrets.  Keys that the model does not know
    are problems, whatever the model says about them.

    Raises:
        ConfigError: they do not fit; every problem is in the error.
    """
    return source.check(network.options, model, ("networks", network.name), extra="forbid")


class Findings:
    """Problems gathered over several steps, so that an operator hears of all of them at once."""

    def __init__(self, source: "Source") -> None:
        """Gather for the file *source*: none of its secrets is in what comes out."""
        self.problems: list[Problem] = []
        self._source = source

    @contextmanager
    def gather(self) -> Iterator[None]:
        """Keep the problems of a `ConfigError` raised inside, and go on behind the block."""
        try:
            yield
        except ConfigError as error:
            self.problems += map(self._source.hide, error.problems)

    def raise_any(self) -> None:
        """Raise what was gathered, if anything was.

        Raises:
            ConfigError: with all of it.
        """
        if self.problems:
            raise ConfigError(*self.problems)


class Source:
    """A file being read, and what its references stand for."""

    def __init__(self, document: Document, folder: Path, env: Mapping[str, str]) -> None:
        """Read *document*; relative paths begin in *folder*, variables are looked up in *env*."""
        self.document = document
        self.folder = folder
        self.warnings: list[Problem] = []
        self._env = env
        self._hidden: dict[str, str] = {}

    def where(self, *path: Step) -> str:
        """Return file and line of *path*, for problems that are found later: ``config.yaml:14``."""
        return self.document.where(path)

    def hide(self, problem: Problem) -> Problem:
        """Return *problem* without any value that came from a reference or belongs to a secret."""
        what, cure = problem.what, problem.cure
        for value in sorted(self._hidden, key=len, reverse=True):
            what, cure = (text.replace(value, self._hidden[value]) for text in (what, cure))
        return replace(problem, what=what, cure=cure)

    def check[M: BaseModel](self, data: Any, model: type[M], at: tuple[Step, ...] = (), **how: Any) -> M:
        """Return *data*, which stands *at* a path of the document, as a *model*; *how* goes to pydantic.

        Raises:
            ConfigError: it does not fit; every problem is in the error, in the order of the file.
        """
        found: list[Problem] = []
        data = self._resolved(data, [model], at, found)
        made = None
        try:
            made = model.model_validate(data, **how)
        except ValidationError as error:
            known = {problem.key for problem in found}
            found += (one for one in _once(problems(self.document, error, model, at)) if one.key not in known)
        # Raised here, and not above: pydantic's own error repeats the values.
        if made is None or found:
            raise ConfigError(*map(self.hide, sorted(found, key=_line)))
        return made

    def _resolved(self, value: Any, kinds: list[Any], path: tuple[Step, ...], found: list[Problem]) -> Any:
        """Return *value*, of which one of *kinds* is to be made, with its references resolved.

        What no kind is known for stays as it is: it is not going to be used.
        """
        try:
            if len(path) > _DEEPEST:
                raise BadValueError("is nested too deeply", "Flatten it.")
            if Secret in kinds and (isinstance(value, str) or {*kinds} <= {Secret, NoneType}):
                return self._secret(value, kinds, path)
            if isinstance(value, str) and kinds:
                return self._text(value)
        except BadValueError as error:
            found.append(Problem(self.where(*path), ".".join(map(str, path)), error.what, error.cure))
            return Secret("") if Secret in kinds else value
        steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        below = {
            step: self._resolved(one, inner, (*path, step), found) if (inner := _below(kinds, step)) else one
            for step, one in steps
        }
        return below if isinstance(value, dict) else [*below.values()] if isinstance(value, list) else value

    def _secret(self, value: object, kinds: list[Any], path: tuple[Step, ...]) -> Secret | None:
        """Return the secret that *value*, at *path*, refers to; a literal one is warned about."""
        if value is None and NoneType in kinds:
            return None
        if not isinstance(value, str) or not value:
            raise BadValueError("is not text", "Write ${NAME} or file:path, and put it in quotes.")
        text = self._file(value[5:]) if value.startswith("file:") else self._text(value)
        if text is value:
            cure = "Write ${NAME} or file:path, and keep the secret there."
            self.warnings.append(Problem(self.where(*path), ".".join(map(str, path)), "is a literal secret", cure))
        self._hide(text, "****")
        return Secret(text)

    def _text(self, value: str) -> str:
        """Return *value*, or that of the environment variable it stands for."""
        match = _REFERENCE.fullmatch(value)
        if match is None and "${" in value:
            raise BadValueError("has ${…} beside other text", "Write ${NAME} alone, or the value itself.")
        if match is None:
            return value
        name = match[1]
        if not (text := self._env.get(name, "")):
            state = "empty" if name in self._env else "not set"
            raise BadValueError(f"needs the environment variable {name}, which is {state}", f"Set {name}.")
        self._hide(text, value)
        return text

    def _file(self, name: str) -> str:
        """Return what is in the file *name*, without the line end after it."""
        try:
            text = (self.folder / Path(name).expanduser()).read_text(encoding="utf-8").rstrip("\r\n")
            why = "" if text else "is empty"
        except OSError as error:
            text, why = "", f"cannot be read: {error.strerror}"
        except (ValueError, RuntimeError):  # not UTF-8; a NUL in the path; a home that nobody has
            text, why = "", "is not a file of text"
        if why:
            raise BadValueError(f"needs {shown(name, ())}, which {why}", "Put the secret, alone, into that file.")
        return text

    def _hide(self, value: str, written: str) -> None:
        """See to it that problems show *written* instead of *value*."""
        self._hidden[shown(value, ())] = f'"{written}"'
        if len(value) >= _WORTH_HIDING:
            self._hidden[value] = written


_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_DEEPEST = 32
_WORTH_HIDING = 6
"""From how many characters on a value is hidden wherever it stands, and not only where it is quoted."""


def _below(kinds: Iterable[Any], step: Step) -> list[Any]:
    """Return the kinds of value that may stand at *step* of a value of *kinds*."""
    found: list[Any] = []
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            known = kind.model_fields.get(str(step))
            found += _flat(known.annotation) if known else ()
        else:
            found += (part for arg in get_args(kind) for part in _flat(arg))
    return found


def _flat(annotation: Any) -> Iterator[Any]:
    """Yield the parts of a union, the kind inside an annotation, or *annotation* itself."""
    if isinstance(annotation, TypeAliasType):
        yield from _flat(annotation.__value__)
    elif get_origin(annotation) is Annotated:
        yield from _flat(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType):
        yield from (part for arg in get_args(annotation) for part in _flat(arg))
    else:
        yield annotation


def _once(found: Iterable[Problem]) -> Iterator[Problem]:
    """Yield one problem a key, of a union's the one that looked deepest."""
    by_key: dict[str, Problem] = {}
    for problem in found:
        by_key.setdefault(problem.key, problem)
    for key, problem in by_key.items():
        deeper = any(other.startswith(f"{key}.") for other in by_key)
        if not (deeper and problem.what.startswith("a mapping")):
            yield problem


def _line(problem: Problem) -> int:
    """Return the line that *problem* is in."""
    line = problem.where.rpartition(":")[2]
    return int(line) if line.isdigit() else 0


# ------------------------------------------------------------- what the file looks like


@dataclass(frozen=True, slots=True)
class _Context:
    """What a validator needs to know of the rest."""

    folder: Path
    networks: tuple[str, ...]


def _text(value: object) -> str:
    """Return *value* if it is text."""
    if not isinstance(value, str):
        raise BadValueError(f"{shown(value, ())} is not text", "Put it in quotes.")
    return value


def _public_url(value: object) -> str:
    """Return the address without the slash at its end."""
    text = _text(value)
    said = shown(text, ())
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    if parts.scheme not in _PORTS or not _is_host(host):
        raise BadValueError(f"{said} is not a web address", "Write it as https://bot.example.org.")
    if parts.scheme == "http" and not _is_loopback(host):
        raise BadValueError(f"{said} is not https", "Use https; http is for 127.0.0.1 and localhost only.")
    host = f"[{host}]" if ":" in host else host
    netloc = host if port is None or port == _PORTS[parts.scheme] else f"{host}:{port}"
    if text.lower().removesuffix("/") not in {f"{parts.scheme}://{host}{end}" for end in ("", f":{port}")}:
        raise BadValueError(f"{said} is more than scheme, host and port", f"Write {parts.scheme}://{netloc}.")
    return f"{parts.scheme}://{netloc}"


def _listen(value: object) -> tuple[str, int]:
    """Return host and port."""
    text = _text(value)
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not _is_host(bare) or (":" in host) != (bare != host):
        raise BadValueError(f"{shown(text, ())} is not host:port", "Write 127.0.0.1:8080 or [::1]:8080.")
    if not (port.isascii() and port.isdigit() and int(port[:6]) <= 65535):
        raise BadValueError(f"{shown(port, ())} is not a port", "Choose one from 1 to 65535.")
    return bare, int(port)


def _is_host(text: str) -> bool:
    """Whether *text* is a name or an address, without brackets."""
    if _HOST.fullmatch(text):
        return True
    return ":" in text and "%" not in text and _address(text)


