"""OAuth 1.0a without I/O: temporary credentials, where the browser goes, and the token (RFC 5849 section 2).

There is no ``state``: the temporary credentials' name, which comes back with the browser, is what
a flow is found by, and its secret, which never leaves the bot, is what binds the answer to us.
What comes from outside is read strictly and refused as an `OAuthError`:

* ``bad_callback``: what came back is no authorization answer
* ``bad_answer``: the server said something else than credentials
* ``refused``: it would not give any
* ``temporarily_unavailable``: it is broken or busy
"""

from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from omnibot.errors import OAuthError
from omnibot.oauth import Callback, is_plain
from omnibot.provider import AuthorizationServer, ClientCredential, Token
from omnibot.signers import OAuth1Signer
from omnibot.wire import Answer, Request

OUT_OF_BAND = "oob"
"""The callback of a client that cannot be called back: the server shows a PIN (section 2.1)."""

_LONGEST = 1024
_NOBODY = Token("")


def request_token_request(server: AuthorizationServer, client: ClientCredential, redirect_uri: str) -> Request:
    """Return the request for temporary credentials (section 2.1)."""
    return _signed(OAuth1Signer(client, callback=redirect_uri), server.request_url, _NOBODY)


def read_request_token(answer: Answer) -> Token:
    """Return the temporary credentials in *answer*.

    Raises:
        OAuthError: it holds none, or does not confirm the callback: then it may be a server of OAuth 1.0, at which
            one browser's answer can be another's (section 2.1, "oauth_callback_confirmed").
    """
    said = _credentials(answer)
    if said.get("oauth_callback_confirmed", "").lower() != "true":  # Authlib's servers say "True"
        raise OAuthError("bad_answer", status=answer.status)
    return _token(said, answer)


def authorize_url(server: AuthorizationServer, temporary: Token) -> str:
    """Return where the browser goes to authorise (section 2.2)."""
    parts = urlsplit(server.authorize_url)
    query = urlencode([("oauth_token", temporary.access), *server.authorize_params.items()])
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, query)))))


def is_answer(query: Sequence[tuple[str, str]]) -> bool:
    """Whether *query* looks like the answer of OAuth 1.0a: it has what no answer of OAuth 2 has."""
    names = {name for name, _ in query}
    return bool(names & {"oauth_token", "oauth_verifier", "denied"}) and "state" not in names


def read_callback(query: Sequence[tuple[str, str]]) -> Callback:
    """Return the answer in *query*: the temporary credentials' name as state, the verifier as code (section 2.2).

    Who refuses comes back with ``denied`` and that name, or with no verifier.

    Raises:
        OAuthError: ``bad_callback``, if a parameter is missing, empty, doubled, too long or not visible ASCII.
    """
    known = [(name, said) for name, said in query if name in ("oauth_token", "oauth_verifier", "denied")]
    said = dict(known)
    if len(said) != len(known) or not all(is_plain(one, _LONGEST) for one in said.values()):
        raise OAuthError("bad_callback")
    if "denied" in said or "oauth_verifier" not in said:
        state = said.get("denied") or said.get("oauth_token")
        if state is None or "oauth_verifier" in said:
            raise OAuthError("bad_callback")
        return Callback(state, error="access_denied", oauth1=True)
    if "oauth_token" not in said:
        raise OAuthError("bad_callback")
    return Callback(said["oauth_token"], said["oauth_verifier"], oauth1=True)


def token_request(server: AuthorizationServer, client: ClientCredential, temporary: Token, verifier: str) -> Request:
    """Return the request that exchanges *temporary* credentials (section 2.3); *verifier* may be a PIN."""
    return _signed(OAuth1Signer(client, verifier=verifier), server.token_url, temporary)


def read_token(answer: Answer) -> Token:
    """Return the token in *answer*; it does not run out, and has no scopes.

    Raises:
        OAuthError: it holds none.
    """
    return _token(_credentials(answer), answer)


def _signed(signer: OAuth1Signer, url: str, token: Token) -> Request:
    return next(signer.sign(Request("POST", url, {"Accept": "*/*"}), token))


def _credentials(answer: Answer) -> Mapping[str, str]:
    """Return the form in *answer*; X calls it ``text/html``, so the type is not looked at."""
    if answer.status >= 500 or answer.status == 429:
        raise OAuthError("temporarily_unavailable", status=answer.status)
    if not answer.ok:
        raise OAuthError("refused", status=answer.status)
    try:
        return dict(parse_qsl(answer.body.decode("ascii").strip(), strict_parsing=True, max_num_fields=50))
    except ValueError:
        raise OAuthError("bad_answer", status=answer.status) from None


def _token(said: Mapping[str, str], answer: Answer) -> Token:
    access, secret = said.get("oauth_token"), said.get("oauth_token_secret")
    if not is_plain(access, _LONGEST) or not is_plain(secret, _LONGEST):
        raise OAuthError("bad_answer", status=answer.status)
    return Token(access, secret=secret)
