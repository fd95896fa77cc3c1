"""What it means that a service refused, and how an operator mends it."""

import re
from collections.abc import Mapping

from omnibot.errors import AddressRefused, OAuthError, Upstream
from omnibot.provider import Instance

_CODE = re.compile(r"[A-Za-z0-9_.-]{1,60}")

_NO_CLIENT = (
    "does not take the bot's client",
    "Compare client_id and client_secret (for OAuth 1.0a consumer_key and consumer_secret) with what is shown there.",
)
_NO_TOKEN = (
    "answers something that is no token",
    "See that token_url, or the address of the whole service, is right: `omnibot providers show` tells what is asked.",
)
REFUSALS: Mapping[str, tuple[str, str]] = {
    "invalid_client": _NO_CLIENT,
    "incorrect_client_credentials": _NO_CLIENT,
    "unauthorized_client": (
        "does not let this client do that",
        "See at the service that the client may use the authorization code flow, and refresh tokens.",
    ),
    "refused": (
        "gives the bot no credentials",
        "Compare consumer_key and consumer_secret with what the service shows, and see that {callback} is registered.",
    ),
    "invalid_grant": (
        "does not take the code",
        "It is good once, and for a minute or so; and {callback} has to be registered there, to the letter. Try again.",
    ),
    "redirect_uri_mismatch": (
        "knows another redirect URI",
        "Register {callback} there, to the letter.",
    ),
    "invalid_scope": (
        "does not grant what was asked for",
        "Take the scopes out of `scopes` in the configuration, or permit them where you registered the bot.",
    ),
    "access_denied": (
        "says that access was refused",
        "Somebody pressed the button that refuses, or may not authorise this client. Try again.",
    ),
    "pkce_unsupported": (
        "has no PKCE, and there is no client secret",
        "Add client_secret: without one of them nothing binds a code to the bot.",
    ),
    "issuer_missing": ("does not say who it is in its answer", "See that issuer is the name it gives itself."),
    "issuer_mismatch": (
        "names another issuer in its answer",
        "Write issuer as the server names itself, to the letter.",
    ),
    "bad_callback": ("sends the browser back without a usable answer", "Try again; see that nothing was cut off."),
    "temporarily_unavailable": ("is out of order, or asks to wait", "Try again later."),
    "expired_token": ("waited for too long", "Try again, and type the code within its time."),
    "redirected": _NO_TOKEN,
    "bad_answer": _NO_TOKEN,
    "bad_token_type": _NO_TOKEN,
    "whoami_failed": (
        "does not say whose the token is",
        "See that the scopes for it were granted, and that `whoami` and `api` in the configuration fit this server.",
    ),
}
"""For each code of a refusal: what the service does, and how to mend it."""


def explained(error: Exception, instance: Instance, callback: str) -> tuple[str, str]:
    """Return what the *error* of a step at *instance* means, and its cure; *callback* is our redirect URI."""
    if isinstance(error, AddressRefused | Upstream):
        return str(error), "Check its address in the configuration, and whether this machine reaches it."
    if not isinstance(error, OAuthError):
        return "The credential has characters that cannot be sent.", "Copy it again, and whole."
    code, status = error.code, f" (status {error.status})" if error.status else ""
    if code == "bad_answer" and error.status in (401, 403):
        code = "invalid_client"  # said without OAuth's words
    if code in REFUSALS:
        what, cure = REFUSALS[code]
        return f"{instance.title} {what}{status}.", cure.replace("{callback}", callback)
    said = code if _CODE.fullmatch(code) else "an error"
    where = f"Look for it at {instance.provider.docs}." if instance.provider.docs else ""
    return f"{instance.title} says {said}{status}.", where
