"""The options of an IRC network in the configuration."""

import re
import ssl
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from omnibot.provider import Secret

TLS_PORT = 6697
"""RFC 7194."""

PLAIN_PORT = 6667

Mechanism = Literal["PLAIN", "EXTERNAL", "SCRAM-SHA-256", "ECDSA-NIST256P-CHALLENGE"]


def _nick(value: str) -> str:
    if not re.fullmatch(r"[^\x00-\x20\x7f0-9:#&!@*?,.$+~%-][^\x00-\x20\x7f!@*?,:.]{0,63}", value):
        raise ValueError("a nick begins with a letter, and is one word of at most 64 letters, digits and _-[]{}|")
    return value


def _channel(value: str) -> str:
    if not re.fullmatch(r"[#&+!][^\x00-\x20\x7f,:]{1,150}", value):
        raise ValueError('a channel begins with #, and is one word without commas; write it in quotes: "#name"')
    return value


Nick = Annotated[str, AfterValidator(_nick)]
Name = Annotated[str, AfterValidator(_channel)]
"""A channel's; the sign in front tells its kind (RFC 2812 section 1.3)."""


class Tls(BaseModel):
    """How the server's certificate is checked, and which one of ours is shown."""

    model_config = ConfigDict(extra="forbid")

    fingerprint: str | None = None
    """``sha256:`` and the server certificate's digest in hex, colons allowed: instead of verification."""

    ca: Path | None = None
    """A file of certificates to verify by, PEM, instead of the system's."""

    certificate: Path | None = None
    """A client certificate, PEM, for SASL EXTERNAL; it may hold its key."""

    key: Path | None = None
    """The client certificate's key, PEM, where it is another file."""

    @field_validator("fingerprint")
    @classmethod
    def _digest(cls, value: str | None) -> str | None:
        if value is None:
            return None
        kind, _, digest = value.strip().lower().partition(":")
        digest = digest.replace(":", "")
        if kind != "sha256" or not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise ValueError(
                "must be sha256: and 64 hexadecimal digits, as openssl x509 -fingerprint -sha256 prints them"
            )
        return f"sha256:{digest}"

    @field_validator("ca", "certificate", "key")
    @classmethod
    def _readable(cls, value: Path | None) -> Path | None:
        try:
            if value is not None:
                value.open("rb").close()
        except OSError as error:
            raise ValueError(f"{value} cannot be read: {error.strerror}") from None
        return value

    def check(self) -> None:
        """Look whether it can be used.

        Raises:
            ValueError: not so, and why.
        """
        if self.fingerprint and self.ca:
            raise ValueError("a fingerprint is instead of verification: leave out ca or fingerprint")
        if self.key and not self.certificate:
            raise ValueError("a key needs its certificate")
        self.context()

    def context(self) -> ssl.SSLContext:
        """Return how TLS is spoken: verified by authorities, or, with a pin, by that alone.

        Raises:
            ValueError: a file holds something else than it should.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except ssl.SSLError:
            raise ValueError(f"{self.ca} holds no certificates in PEM") from None
        if self.fingerprint:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate:
            try:
                context.load_cert_chain(self.certificate, self.key, password=lambda: "")  # or it asks on the terminal
            except ssl.SSLError:
                files = f"{self.certificate} and {self.key} hold" if self.key else f"{self.certificate} holds"
                raise ValueError(f"{files} no certificate in PEM with its key, unencrypted") from None
        return context


class Sasl(BaseModel):
    """How the bot logs in to the network's services."""

    model_config = ConfigDict(extra="forbid")

    mechanism: Mechanism = "PLAIN"
    username: str = Field(default="", pattern=r"^[^\x00-\x20\x7f]{0,100}$")
    """The services account; EXTERNAL does without, if services know the certificate."""

    password: Secret | None = None
    """For PLAIN and SCRAM-SHA-256."""

    key: Secret | None = None
    """For ECDSA-NIST256P-CHALLENGE: the private key as PEM, usually ``file:path``."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.mechanism != "EXTERNAL" and not self.username:
            raise ValueError(f"{self.mechanism} needs a username")
        if self.mechanism in ("PLAIN", "SCRAM-SHA-256"):
            if self.password is None or not self.password.value:
                raise ValueError(f"{self.mechanism} needs a password")
            if "\0" in self.password.value:
                raise ValueError("a password cannot hold a NUL")
        if self.mechanism == "ECDSA-NIST256P-CHALLENGE" and self.key is None:
            raise ValueError(f"{self.mechanism} needs a key")
        return self


class ChannelPart(BaseModel):
    """A channel that has a key."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    key: Secret | None = None

    @field_validator("key")
    @classmethod
    def _one_word(cls, value: Secret | None) -> Secret | None:
        if value and not re.fullmatch(r"[^\x00-\x20\x7f,:][^\x00-\x20\x7f,]*", value.value):
            raise ValueError("a channel's key is one word without commas")
        return value


class Pace(BaseModel):
    """How fast the bot speaks; the server throws out who is faster than it likes."""

    model_config = ConfigDict(extra="forbid")

    lines: int = Field(default=5, ge=1, le=1000)
    """How many short lines may go at once."""

    seconds: float = Field(default=2.0, ge=0, le=60)
    """Seconds that a line counts as; 0: no limit, for a server that has none."""

    bytes: int = Field(default=120, ge=0, le=65536)
    """A line counts as one second more for each so many bytes of it; 0: its length does not matter."""


class Settings(BaseModel):
    """The options of one IRC network."""

    model_config = ConfigDict(extra="forbid")

    host: str
    port: int | None = Field(default=None, ge=1, le=65535)
    """By default 6697, or 6667 without TLS."""

    tls: bool | Tls = True
    allow_plain: bool = False
    """Whether a password may be sent, and people be known by their accounts, over a connection without TLS."""

    nick: Nick = "omnibot"
    username: str = Field(default="omnibot", pattern=r"^[^\x00-\x20\x7f@!:]{1,30}$")
    realname: str = Field(default="omnibot", pattern=r"^[^\x00-\x1f\x7f]{1,100}$")
    password: Secret | None = None
    """The server's own, which few have; services are logged in to by `sasl`."""

    sasl: Sasl | None = None
    require_sasl: bool = True
    """Whether to stay away where the login fails; it means nothing without `sasl`."""

    channels: list[Name | ChannelPart] = Field(default_factory=list, max_length=1000)
    invites: Literal["configured", "any", "none"] = "configured"
    """Which invitations are followed: to the configured channels, to any, to none."""

    pace: Pace = Pace()
    lines: int = Field(default=5, ge=1, le=100)
    """How many lines of a long answer are said at once; the rest is told by `!more`."""

    epochs: Literal["nickserv", "none"] = "nickserv"
    """Who tells since when an account is registered, so that one that somebody else registered anew is another person:
    the network's services, or nobody."""

    nickserv: str = Field(
        default="NickServ", pattern=r"^[^\x00-\x20\x7f:@!,*?#&]{1,64}(@[^\x00-\x20\x7f@!*?]{1,255})?$"
    )
    """The nick of the services that tell it; with @ and their host, an answer counts from nowhere else."""

    rejoin: bool = True
    """Whether to come back, after a while, into a configured channel that the bot was kicked from."""

    @property
    def secure(self) -> bool:
        """Whether the configuration asks for TLS; a server's STS policy may ask for it as well."""
        return self.tls is not False

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return self.host, self.port or (TLS_PORT if self.secure else PLAIN_PORT)

    @property
    def keys(self) -> dict[str, str]:
        """The channels, each with its key; empty for those without."""
        parts = [ChannelPart(name=one) if isinstance(one, str) else one for one in self.channels]
        return {part.name: part.key.value if part.key else "" for part in parts}

    @field_validator("host")
    @classmethod
    def _name_only(cls, value: str) -> str:
        if found := re.fullmatch(r"[^:/\s]+:([0-9]{1,5})", value):
            raise ValueError(f"the port has its own key: take it out here, and write port: {found[1]}")
        if not re.fullmatch(r"[^\s/]{1,255}", value):
            raise ValueError("must be only the name or address of the server, as irc.example.org")
        return value

    @field_validator("tls")
    @classmethod
    def _usable(cls, value: bool | Tls) -> bool | Tls:
        if isinstance(value, Tls):  # looked at here: within, it would read as if the other kind of value was meant
            value.check()
        return value

    @field_validator("password")
    @classmethod
    def _one_line(cls, value: Secret | None) -> Secret | None:
        if value and not re.fullmatch(r"[^\r\n\x00]{1,400}", value.value):
            raise ValueError("must be one line of at most 400 characters")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.sasl and self.sasl.mechanism == "EXTERNAL" and not (isinstance(self.tls, Tls) and self.tls.certificate):
            raise ValueError("EXTERNAL needs tls: {certificate: FILE}")
        if (
            not self.secure
            and not self.allow_plain
            and (self.password or (self.sasl and self.sasl.mechanism == "PLAIN"))
        ):
            raise ValueError(
                "without TLS the password could be read on the way: "
                "use TLS, or SCRAM-SHA-256, or accept it with allow_plain: true"
            )
        return self
