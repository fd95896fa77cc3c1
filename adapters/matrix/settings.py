"""The options of a Matrix network in the configuration."""

import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from omnibot.provider import Secret

Server = Annotated[str, Field(pattern=r"^[A-Za-z0-9.:\[\]-]{1,255}$")]
"""A homeserver's name, as it ends an MXID: perhaps with a port."""

_GHOSTS = ("@_*", "@*bridge*:*", "@*puppet*:*")
"""Who bridges speak as, by their own defaults: mautrix, matrix-appservice-*, heisenbridge."""

Trust = Literal["first-use", "cross-signed"]


class Settings(BaseModel):
    """The options of one Matrix account."""

    model_config = ConfigDict(extra="forbid")

    homeserver: str = Field(pattern=r"^https?://[^\s/?#@]+/?$")
    """Its address, as clients use it; ``http://`` only on this machine."""

    user: str = Field(pattern=r"^@[^\s:]{1,200}:[^\s/]{1,255}$")
    """The bot's MXID."""

    password: Secret | None = None
    """Used once, for a device of the bot's own, and again only where the server asks for it."""

    token: Secret | None = None
    """An access token instead, of a device that nothing else uses."""

    device_name: str = Field(default="omnibot", min_length=1, max_length=100)
    encryption: bool = True
    """Whether the bot takes part in encrypted rooms; without, it does not speak there at all."""

    trust: Trust = "first-use"
    """Which devices are given the keys of what the bot says: all whose key has not changed since it was first
    seen, or only those that their owner has signed."""

    invites: Literal["homeserver", "listed", "any", "none"] = "homeserver"
    """Whose invitations are followed: those of the bot's own homeserver and the trusted ones, of `inviters`,
    everybody's, nobody's."""

    inviters: tuple[str, ...] = ()
    """MXIDs, or globs of them, for ``invites: listed``."""

    trusted: tuple[Server, ...] = ()
    """Homeservers, besides the bot's own, whose word for their people is as good as its."""

    federation: Literal["allow", "deny"] = "allow"
    """Whether people of other homeservers may use the bot at all."""

    ghosts: tuple[str, ...] = _GHOSTS
    """Globs of MXIDs that a bridge speaks as; the bot never hears them."""

    typing: bool = True
    """Whether others see that an answer is being made."""

    @property
    def url(self) -> str:
        """The homeserver's address, without a slash at the end."""
        return self.homeserver.rstrip("/")

    @property
    def server(self) -> str:
        """The homeserver's name: what the network calls itself."""
        return self.user.partition(":")[2]

    @field_validator("password", "token")
    @classmethod
    def _not_empty(cls, value: Secret | None) -> Secret | None:
        if value is not None and not re.fullmatch(r"[^\r\n\x00]{1,4000}", value.value):
            raise ValueError("must be one line, and not empty")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.password is None) == (self.token is None):
            raise ValueError("needs either a password or a token")
        if self.invites == "listed" and not self.inviters:
            raise ValueError("invites: listed needs inviters")
        host = self.homeserver.removeprefix("http://").partition("/")[0]
        if self.homeserver.startswith("http://") and not re.fullmatch(
            r"(localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]+)?", host
        ):
            raise ValueError("the token and what people say would be read on the way: use https://")
        return self
