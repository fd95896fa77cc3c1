"""What an authorization server says of itself: OpenID discovery and RFC 8414 metadata, without I/O.

It is believed only as far as it speaks of the issuer that the operator configured, and
of endpoints where the operator allowed them.  The codes of the `OAuthError` raised:

* ``redirected``, ``bad_metadata``: there is no metadata to read
* ``issuer_mismatch``, ``foreign_endpoint``: it describes somebody else
* ``pkce_unsupported``, ``client_auth_unsupported``: a link could not be made safely
"""

from dataclasses import replace
from typing import Any, Literal
from urllib.parse import urlsplit

from omnibot.errors import OAuthError
from omnibot.oauth import is_plain, json_object
from omnibot.provider import AuthorizationServer, Instance
from omnibot.wire import Answer, Request, origin_of


def metadata_requests(issuer: str) -> tuple[Request, ...]:
    """Return the requests that may bring the metadata of *issuer*, in the order to try them.

    OpenID Connect appends its well-known path to the issuer; RFC 8414 section 3.1 puts its own
    between host and path.
    """
    parts = urlsplit(issuer)
    host, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    headers = {"Accept": "application/json"}
    return (
        Request("GET", f"{host}{path}/.well-known/openid-configuration", headers),
        Request("GET", f"{host}/.well-known/oauth-authorization-server{path}", headers),
    )


def read_metadata(instance: Instance, answer: Answer) -> AuthorizationServer:
    """Return the server that *answer* describes, with the quirks that the catalogue adds.

    Every endpoint has to be at one of the instance's origins: else an evil instance could name the
    honest authorization page and its own token endpoint (RFC 9700 section 4.4).

    Raises:
        OAuthError: it is not this instance's metadata, or cannot be used safely.
    """
    data = _metadata(instance, answer)
    quirks = instance.provider.server
    methods = data.get("code_challenge_methods_supported")
    if quirks.pkce == "S256" and methods is not None and not (isinstance(methods, list) and "S256" in methods):
        raise OAuthError("pkce_unsupported")
    return replace(
        quirks,
        authorize_url=_endpoint(instance, data, "authorization_endpoint"),
        token_url=_endpoint(instance, data, "token_endpoint"),
        revoke_url=_endpoint(instance, data, "revocation_endpoint", optional=True),
        device_url=_endpoint(instance, data, "device_authorization_endpoint", optional=True),
        issuer=instance.issuer,
        iss="required" if data.get("authorization_response_iss_parameter_supported") is True else "absent",
        client_auth=_client_auth(instance, data.get("token_endpoint_auth_methods_supported")),
    )


def read_userinfo_url(instance: Instance, answer: Answer) -> str:
    """Return the address of OpenID's userinfo that *answer* names; empty if it names none.

    Raises:
        OAuthError: it is not this instance's metadata, or the address is at a foreign origin.
    """
    return _endpoint(instance, _metadata(instance, answer), "userinfo_endpoint", optional=True)


def _metadata(instance: Instance, answer: Answer) -> dict[str, Any]:
    """Return the JSON of *answer*, if it is the metadata of *instance* and of no other."""
    if 300 <= answer.status < 400:
        raise OAuthError("redirected", status=answer.status)
    data = json_object(answer.body) if answer.ok else None
    if data is None:
        raise OAuthError("bad_metadata", status=answer.status)
    if data.get("issuer") != instance.issuer:
        raise OAuthError("issuer_mismatch", status=answer.status)
    return data


def _endpoint(instance: Instance, data: dict[str, Any], name: str, *, optional: bool = False) -> str:
    """Return the endpoint *name* of *data*, at one of the instance's origins."""
    url = data.get(name)
    if url is None and optional:
        return ""
    if not is_plain(url, 2048) or " " in url or "#" in url:
        raise OAuthError("bad_metadata")
    try:
        origin = origin_of(url)
    except ValueError:
        raise OAuthError("bad_metadata") from None
    if origin not in instance.origins:
        raise OAuthError("foreign_endpoint")
    return url


def _client_auth(instance: Instance, supported: object) -> Literal["basic", "post", "none"]:
    """Choose how to authenticate from what is *supported*; RFC 8414 has basic where nothing is said."""
    if instance.client.client_secret is None:
        return "none"
    known = supported if isinstance(supported, list) else ["client_secret_basic"]
    if "client_secret_basic" in known:
        return "basic"
    if "client_secret_post" in known:
        return "post"
    raise OAuthError("client_auth_unsupported")
