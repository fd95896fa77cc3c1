"""What the demo provider remembers: clients, codes and tokens, all in memory.

A family is everything that grew out of one consent: its code, its access tokens
and its refresh tokens.  When something of it is presented twice, somebody has a
copy, and nobody can tell who is the thief: so the whole family dies (RFC 9700,
sections 2.1.1 and 4.14.2).
"""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

SCOPES = {"notes:read": "read your notes", "notes:write": "write and delete your notes"}
"""Every scope there is, and what it lets a client do, in words that follow "to"."""


class TokenAnswer(dict[str, Any]):
    """The token endpoint's answer, as JSON will carry it; its repr keeps quiet, as Authlib logs it."""

    def __repr__(self) -> str:
        return "<token answer>"


@dataclass(frozen=True, slots=True)
class DemoClient:
    """A client the provider knows; without a secret it is a public one."""

    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    redirect_uris: tuple[str, ...] = ()
    """Compared with what a request names character by character."""


@dataclass(eq=False, slots=True)
class Family:
    """One consent: who lets which client do what, and whether that still holds."""

    user: str
    client_id: str
    scopes: tuple[str, ...]
    alive: bool = True


@dataclass(eq=False, slots=True)
class Code:
    """An authorization code; the two methods are what Authlib asks of one."""

    value: str = field(repr=False)
    family: Family
    redirect_uri: str
    code_challenge: str
    expires_at: float
    presented: bool = False

    code_challenge_method = "S256"

    def get_redirect_uri(self) -> str:
        """Where the code was sent, which the exchange must name again."""
        return self.redirect_uri

    def get_scope(self) -> str:
        """The scopes consented to, separated by spaces."""
        return " ".join(self.family.scopes)


@dataclass(eq=False, slots=True)
class Token:
    """An access or refresh token; the two methods are what Authlib asks of one."""

    kind: Literal["access", "refresh"]
    value: str = field(repr=False)
    family: Family
    scopes: tuple[str, ...]
    expires_at: float | None = None
    spent: bool = False

    def check_client(self, client: Any) -> bool:
        """Whether the token was issued to *client*."""
        return bool(self.family.client_id == client.client_id)

    def get_scope(self) -> str:
        """The token's scopes, separated by spaces."""
        return " ".join(self.scopes)


class Ledger:
    """All clients, codes and tokens; a token is good while it is listed, unexpired and its family lives."""

    def __init__(self) -> None:
        self.clients: dict[str, DemoClient] = {}
        self.revoked: list[str] = []
        self._codes: dict[str, Code] = {}
        self._tokens: dict[str, Token] = {}
        self._keys: dict[str, Token] = {}

    def register(self, client: DemoClient) -> None:
        """Add *client*; one that is known keeps its redirect URIs and gains the new ones."""
        known = self.clients.get(client.client_id)
        before = known.redirect_uris if known else ()
        uris = tuple(dict.fromkeys((*before, *client.redirect_uris)))
        self.clients[client.client_id] = replace(client, redirect_uris=uris)

    def add_code(self, code: Code) -> None:
        """Remember *code*."""
        self._codes[code.value] = code

    def present_code(self, value: str, client_id: str) -> Code | None:
        """The code, the first time that its own client presents it; a second time ends its family."""
        code = self._codes.get(value)
        if code is None or code.family.client_id != client_id:
            return None
        if code.presented:
            self.end(code.family)
            return None
        code.presented = True
        return code if code.expires_at > time.time() else None

    def present_refresh(self, value: str, client_id: str) -> Token | None:
        """The refresh token, if it is good and *client_id*'s own; a spent one ends its family."""
        token = self._tokens.get(value)
        if token is None or token.kind != "refresh" or token.family.client_id != client_id:
            return None
        if token.spent:
            self.end(token.family)
        return token if token.family.alive else None

    def key_for(self, user: str) -> str:
        """*user*'s own API key, good for everything they may do; made when first asked for."""
        for key in self._keys.values():
            if key.family.user == user:
                return key.value
        value, everything = f"demo-key-{secrets.token_urlsafe(24)}", tuple(SCOPES)
        self._keys[value] = Token("access", value, Family(user, "", everything), everything)
        return value

    def rotate_key(self, user: str) -> str:
        """A new key for *user*; the one before is good for nothing."""
        self._keys = {value: key for value, key in self._keys.items() if key.family.user != user}
        return self.key_for(user)

    def key(self, value: str) -> Token | None:
        """The API key, as the token that it is."""
        return self._keys.get(value)

    def access(self, value: str) -> Token | None:
        """The access token, if it is good just now."""
        token = self._tokens.get(value)
        if token is None or token.kind != "access" or not token.family.alive:
            return None
        expired = token.expires_at is not None and token.expires_at <= time.time()
        return None if expired else token

    def find(self, value: str) -> Token | None:
        """The token called *value*, good or not."""
        return self._tokens.get(value)

    def user_of(self, credential: str) -> str | None:
        """Whose code or token *credential* is or was; None if it is nobody's."""
        known = self._codes.get(credential) or self._tokens.get(credential)
        return known.family.user if known else None

    def mint(self, scopes: Sequence[str], seconds: int | None) -> TokenAnswer:
        """A new pair of tokens, which count for nothing until they are kept."""
        answer = TokenAnswer(token_type="Bearer", scope=" ".join(scopes))  # noqa: S106 - RFC 6750's word
        answer["access_token"] = f"demo-access-{secrets.token_urlsafe(24)}"
        answer["refresh_token"] = f"demo-refresh-{secrets.token_urlsafe(24)}"
        if seconds is not None:
            answer["expires_in"] = seconds
        return answer

    def keep(self, answer: TokenAnswer, family: Family) -> None:
        """Make the tokens in *answer* good; the refresh token always has the whole consent's scopes."""
        seconds, scopes = answer.get("expires_in"), tuple(answer["scope"].split())
        expires_at = None if seconds is None else time.time() + seconds
        access, refresh = answer["access_token"], answer["refresh_token"]
        self._tokens[access] = Token("access", access, family, scopes, expires_at)
        self._tokens[refresh] = Token("refresh", refresh, family, family.scopes)

    def revoke(self, token: Token) -> None:
        """An access token alone, or with a refresh token its whole family."""
        if token.kind == "refresh":
            self.end(token.family)
        elif self._tokens.pop(token.value, None) and token.family.alive:
            self.revoked.append(token.family.user)

    def end(self, family: Family) -> None:
        """End *family*; nothing of it is good from here on."""
        if family.alive:
            family.alive = False
            self.revoked.append(family.user)

    def expire_access_tokens(self) -> None:
        """Let every access token be expired; refresh tokens stay good."""
        for token in self._tokens.values():
            if token.kind == "access":
                token.expires_at = 0

    def forget(self) -> None:
        """Know no code and no token any more; clients stay."""
        self._codes.clear()
        self._tokens.clear()
