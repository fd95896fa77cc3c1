"""An OAuth 1.0a service: Authlib's server for Flask, with storage, a page where people sign in, and an API as them.

Run it as a program: ``authlib_app.py PORT KEY SECRET``, where port 0 takes a free one.  It says ``listening URL``
and then a line for each thing that somebody does, ``post by user=alice: hello``.  A callback of ``oob`` shows a PIN
of seven digits.  Everything is in memory: a restart forgets it.

Of the protocol nothing is ours: signatures, nonces, and what of a request token may be used how often.  One thing of
Authlib's is worth knowing: a wrong verifier ends the request token, so there is one try for a PIN.
"""

import secrets
import sys
import time
from html import escape
from typing import Any

from authlib.integrations.flask_oauth1 import AuthorizationServer, ResourceProtector, current_credential
from authlib.oauth1 import ClientMixin, TemporaryCredential, TokenCredentialMixin
from authlib.oauth1.rfc5849.errors import OAuth1Error
from flask import Flask, Response, jsonify, redirect, request
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Response as AnyResponse

PEOPLE = {login: f"pw-{login}" for login in ("alice", "bob", "carol")}
LIFETIME = 300
"""Seconds by which a timestamp may be off."""

type Shown = str | tuple[str, int] | AnyResponse


class Client(ClientMixin):  # type: ignore[misc]  # Authlib ships no types
    """The consumer."""

    def __init__(self, key: str, secret: str) -> None:
        self.key, self._secret = key, secret

    def get_default_redirect_uri(self) -> None:
        return None

    def get_client_secret(self) -> str:
        return self._secret

    def get_rsa_public_key(self) -> None:
        return None


class Temporary(TemporaryCredential):  # type: ignore[misc]  # as above
    """A request token."""

    def get_redirect_uri(self) -> str:
        return str(self["oauth_callback"])


class Token(TokenCredentialMixin):  # type: ignore[misc]  # as above
    """An access token, and whose it is."""

    def __init__(self, token: dict[str, str], user: str) -> None:
        self.key, self._secret, self.user = token["oauth_token"], token["oauth_token_secret"], user

    def get_oauth_token(self) -> str:
        return self.key

    def get_oauth_token_secret(self) -> str:
        return self._secret


class Store:
    """What the server keeps: clients, tokens of both kinds, and every nonce."""

    def __init__(self, client: Client) -> None:
        self.clients = {client.key: client}
        self.temporary = dict[str, Temporary]()
        self.tokens = dict[str, Token]()
        self._nonces = set[tuple[str, str, str, str]]()

    def exists_nonce(self, nonce: str, timestamp: str, client_id: str, token: str) -> bool:
        one = (nonce, timestamp, client_id, token)
        bad = one in self._nonces or abs(time.time() - int(timestamp)) > LIFETIME
        self._nonces.add(one)
        return bad

    def create_temporary_credential(self, token: dict[str, str], client_id: str, redirect_uri: str) -> Temporary:
        made = Temporary({**token, "client_id": client_id, "oauth_callback": redirect_uri})
        self.temporary[token["oauth_token"]] = made
        return made

    def get_temporary_credential(self, token: str) -> Temporary | None:
        return self.temporary.get(token)

    def delete_temporary_credential(self, token: str) -> None:
        self.temporary.pop(token, None)

    def create_authorization_verifier(self, credential: Temporary, user: str, verifier: str) -> None:
        credential.update(oauth_verifier=verifier, user=user)

    def create_token_credential(self, token: dict[str, str], credential: Temporary) -> Token:
        made = self.tokens[token["oauth_token"]] = Token(token, credential["user"])
        say(f"linked user={made.user}")
        return made

    def query_token(self, client_id: str, token: str) -> Token | None:
        return self.tokens.get(token) if client_id in self.clients else None


HOOKS = (
    "exists_nonce",
    "create_temporary_credential",
    "get_temporary_credential",
    "delete_temporary_credential",
    "create_authorization_verifier",
    "create_token_credential",
)


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the record is what it prints


def page(title: str, body: str, status: int = 200) -> tuple[str, int]:
    return f"<!doctype html><title>{title}</title><h1>{title}</h1>{body}", status


class Pages:
    """Where a person signs in, and allows or denies."""

    def __init__(self, server: AuthorizationServer, store: Store) -> None:
        self._server, self._store = server, store

    def authorize(self) -> Shown:
        try:
            asked = self._server.check_authorization_request()
        except OAuth1Error as error:
            return page("Error", escape(str(error.error)), 400)
        if request.method == "GET":
            return self._ask(asked.token)
        credential = asked.credential
        if request.form.get("do") == "deny":
            return self._denied(asked.token, credential["oauth_callback"])
        login = request.form.get("login", "")
        if not login or PEOPLE.get(login) != request.form.get("password"):
            return page("Sign in", "<p>Wrong user or password.</p>", 401)
        return self._allowed(credential, login)

    def _ask(self, token: str) -> Shown:
        hidden = f'<input type="hidden" name="oauth_token" value="{escape(token)}">'
        allow = '<input name="login"><input name="password" type="password"><button name="do" value="allow">Allow'
        deny = '<input type="hidden" name="do" value="deny"><button>Deny'
        # To the path alone: a token in the address and in the form is one too many.
        forms = [
            f'<form method="post" action="/oauth/authorize">{hidden}{one}</button></form>' for one in (allow, deny)
        ]
        return page("Allow access", "".join(forms))

    def _denied(self, token: str, callback: str) -> Shown:
        self._store.delete_temporary_credential(token)
        if callback == "oob":
            return page("Denied", "<p>Nothing was linked.</p>")
        return redirect(f"{callback}{'&' if '?' in callback else '?'}denied={token}")

    def _allowed(self, credential: Temporary, login: str) -> Shown:
        say(f"allowed by user={login}")
        if credential["oauth_callback"] != "oob":
            response: AnyResponse = self._server.create_authorization_response(grant_user=login)
            return response
        pin = f"{secrets.randbelow(10**7):07d}"
        self._store.create_authorization_verifier(credential, login, pin)
        return page("Allowed", f'<p>Your PIN is <kbd id="pin">{pin}</kbd></p>')


def make_app(client: Client) -> Flask:
    """Return the service."""
    app = Flask("oauth1")
    app.config["OAUTH1_SUPPORTED_SIGNATURE_METHODS"] = ["HMAC-SHA1"]
    store = Store(client)
    server = AuthorizationServer(app, query_client=store.clients.get)
    for name in HOOKS:
        server.register_hook(name, getattr(store, name))
    protected = ResourceProtector(
        app, query_client=store.clients.get, query_token=store.query_token, exists_nonce=store.exists_nonce
    )
    posts = list[dict[str, Any]]()

    app.post("/oauth/request_token")(server.create_temporary_credentials_response)
    app.post("/oauth/access_token")(server.create_token_response)
    app.route("/oauth/authorize", methods=["GET", "POST"])(Pages(server, store).authorize)

    @app.post("/oauth/invalidate_token")
    @protected()  # type: ignore[untyped-decorator]  # Authlib ships no types
    def invalidate() -> Response:
        say(f"revoked by user={current_credential.user}")
        store.tokens.pop(current_credential.key, None)
        return jsonify(access_token=current_credential.key)

    @app.get("/1.1/account/verify_credentials.json")
    @protected()  # type: ignore[untyped-decorator]  # as above
    def whoami() -> Response:
        return jsonify(screen_name=current_credential.user)

    @app.post("/1.1/statuses/update.json")
    @protected()  # type: ignore[untyped-decorator]  # as above
    def update() -> Response:
        posts.append({"id": len(posts) + 1, "user": current_credential.user, "text": request.form["status"]})
        say(f"post by user={current_credential.user}: {posts[-1]['text']}")
        return jsonify(posts[-1])

    @app.get("/1.1/statuses/user_timeline.json")
    @protected()  # type: ignore[untyped-decorator]  # as above
    def timeline() -> Response:
        return jsonify([one for one in posts if one["user"] == current_credential.user])

    return app


class Quiet(WSGIRequestHandler):
    """Logs no address: tokens may be in it."""

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - it is called so there
        """Say nothing."""


def main(port: str, key: str, secret: str) -> None:
    """Serve until killed."""
    server = make_server("127.0.0.1", int(port), make_app(Client(key, secret)), threaded=True, request_handler=Quiet)
    say(f"listening http://127.0.0.1:{server.server_port}")
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
