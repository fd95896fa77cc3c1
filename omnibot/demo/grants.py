"""The pieces that Authlib's server is made of, told where the demo provider's `Ledger` is.

Authlib is untyped, and asks for its subclasses' methods by name: what they are for
stands in its own documentation, and here only where we differ.
"""

import secrets
import time
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from authlib.oauth2.rfc6749 import InvalidRequestError, OAuth2Request
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, RefreshTokenGrant
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge

from omnibot.demo.ledger import Code, DemoClient, Family, Token

AUTH_METHODS = ["client_secret_basic", "client_secret_post", "none"]
CODE_SECONDS = 600
"""As long as RFC 6749 allows: pasting an address from a browser into a chat takes a while."""

Fields = Iterable[tuple[str, str]]
"""Form or query fields in the order sent; a name may come twice, which is then refused."""


class Request(OAuth2Request):  # type: ignore[misc]
    """A request in Authlib's form.

    Its *uri* serves one check, that it is https or on loopback, which the
    provider's own origin always is: no environment variable is needed.
    """

    def __init__(self, method: str, uri: str, fields: Fields, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(method, uri, headers=headers or {})
        self.payload = Payload(fields)

    @property
    def form(self) -> dict[str, str]:
        """The fields by name."""
        return dict(self.payload.data)


class Payload(BasicOAuth2Payload):  # type: ignore[misc]
    """A request's fields, with what was sent twice in ``datalist``."""

    def __init__(self, fields: Fields) -> None:
        pairs = list(fields)
        super().__init__(dict(pairs))
        self._datalist = {name: [v for n, v in pairs if n == name] for name, _ in pairs}


class Client:
    """A `DemoClient` as Authlib asks for it; every client may use every grant and every scope."""

    def __init__(self, client: DemoClient) -> None:
        self.client_id = client.client_id
        self._client = client

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Whether the client has registered exactly this."""
        return redirect_uri in self._client.redirect_uris

    def check_client_secret(self, client_secret: str) -> bool:
        """Whether it is the client's; one without a secret has none that fits."""
        expected = self._client.client_secret or ""
        return bool(expected) and secrets.compare_digest(expected.encode(), client_secret.encode())

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Who has a secret must use it."""
        return (method == "none") == (self._client.client_secret is None)

    def check_response_type(self, response_type: str) -> bool:
        """Only codes are given."""
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        """Every one that the server has."""
        return True

    def get_allowed_scope(self, scope: str | None) -> str:
        """All that is asked for; asking for none is asking who somebody is."""
        return scope or ""


class S256Only(CodeChallenge):  # type: ignore[misc]
    """PKCE for every client: Authlib's ``required`` only holds for public ones, and lets *plain* through."""

    SUPPORTED_CODE_CHALLENGE_METHOD: ClassVar[list[str]] = ["S256"]

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        """Refuse a request without a challenge, or with one that is not hashed."""
        data = grant.request.payload.data
        if not data.get("code_challenge") or data.get("code_challenge_method") != "S256":
            raise InvalidRequestError("PKCE is needed: a code_challenge with the method S256.")
        super().validate_code_challenge(grant, redirect_uri)


class CodeGrant(AuthorizationCodeGrant):  # type: ignore[misc]
    """Codes that are spent when presented, right or wrong."""

    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS

    def save_authorization_code(self, code: str, request: Request) -> None:
        """Begin a family with *code*."""
        data = request.payload.data
        family = Family(request.user, data["client_id"], tuple(request.scope.split()))
        expires_at = time.time() + CODE_SECONDS
        kept = Code(code, family, data["redirect_uri"], data["code_challenge"], expires_at)
        self.server.ledger.add_code(kept)

    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        """The code, whose family gets the scopes scripted, if any are."""
        found: Code | None = self.server.ledger.present_code(code, client.client_id)
        granted = self.server.rules.grant_scopes
        if found is not None and granted is not None:
            found.family.scopes = tuple(granted)
        return found

    def delete_authorization_code(self, authorization_code: Code) -> None:
        """Nothing to do: a spent code is kept, to notice when it comes again."""

    def authenticate_user(self, authorization_code: Code) -> str:
        """Whose code it is."""
        return authorization_code.family.user


class RefreshGrant(RefreshTokenGrant):  # type: ignore[misc]
    """Refresh tokens that are spent when used and followed by another."""

    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> Token | None:
        """The token, if it is the client's own; Authlib compares clients too late to notice theft."""
        client_id = self.request.client.client_id
        found: Token | None = self.server.ledger.present_refresh(refresh_token, client_id)
        return found

    def authenticate_user(self, refresh_token: Token) -> str:
        """Whose token it is."""
        return refresh_token.family.user

    def revoke_old_credential(self, refresh_token: Token) -> None:
        """From here on, whoever presents it again has a copy."""
        refresh_token.spent = True


class Revocation(RevocationEndpoint):  # type: ignore[misc]
    """Revocation for every kind of client."""

    CLIENT_AUTH_METHODS = AUTH_METHODS

    def check_params(self, request: Request, client: Client) -> None:
        """Ignore the hint, as RFC 7009 allows: Authlib would answer an unknown one with 401."""
        if not request.form.get("token"):
            raise InvalidRequestError("The token to revoke is missing.")

    def query_token(self, token_string: str, token_type_hint: str | None) -> Token | None:
        """The token, good or not."""
        found: Token | None = self.server.ledger.find(token_string)
        return found

    def revoke_token(self, token: Token, request: Request) -> None:
        """An access token alone, or with a refresh token its whole family."""
        self.server.ledger.revoke(token)
