"""The options of a Discord network in the configuration."""

import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from omnibot.provider import Secret

Snowflake = Annotated[int, Field(gt=0, lt=1 << 64)]
"""An id, as Discord gives them out."""

Install = Literal["guild", "user"]

_HERE = re.compile(r"(localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]+)?")
_LEAST_TOKEN = 20


class Settings(BaseModel):
    """The options of one bot on Discord."""

    model_config = ConfigDict(extra="forbid")

    token: Secret
    """The bot's token, from the developer portal."""

    content: Literal["auto", "on", "off"] = "auto"
    """Whether the bot asks to read what is not said to it: where the application may, in any case, never."""

    commands: Literal["global", "off"] | tuple[Snowflake, ...] = "global"
    """Where slash commands are offered: everywhere, nowhere, or on the servers with these ids."""

    installs: tuple[Install, ...] = ("guild",)
    """Who may add the bot's slash commands, where these are global: servers, and people for themselves."""

    typing: bool = True
    """Whether others see that an answer is being made."""

    api: str | None = Field(default=None, pattern=r"^https?://[^\s?#@]+$")
    """Another address of the API, as ``https://discord.com/api/v10``; ``http://`` only on this machine."""

    gateway: str | None = Field(default=None, pattern=r"^wss?://[^\s?#@]+$")
    """Another address of the gateway, as ``wss://gateway.discord.gg/``; ``ws://`` only on this machine."""

    @field_validator("token")
    @classmethod
    def _one_word(cls, value: Secret) -> Secret:
        if not re.fullmatch(r"[!-~]{1,4000}", value.value):
            raise ValueError("must be one word, and not empty: the token alone, without `Bot` before it")
        return value

    @field_validator("commands")
    @classmethod
    def _some(cls, value: str | tuple[int, ...]) -> str | tuple[int, ...]:
        if not value:
            raise ValueError("names no server: say off")
        return tuple(dict.fromkeys(value)) if isinstance(value, tuple) else value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not self.installs:
            raise ValueError("installs: names nobody: say guild, user or both")
        for name, address in (("api", self.api), ("gateway", self.gateway)):
            scheme, _, rest = (address or "").partition("://")
            if scheme in ("http", "ws") and not _HERE.fullmatch(rest.partition("/")[0]):
                raise ValueError(f"{name}: the token and what people say would be read on the way: use {scheme}s://")
        return self


def looks_like_token(token: str) -> bool:
    """Return whether *token* is made as Discord makes a bot's: three parts, of which the first is an id in base64."""
    parts = token.split(".")
    return len(parts) == 3 and len(token) > _LEAST_TOKEN and all(re.fullmatch(r"[\w-]+", p, re.ASCII) for p in parts)
