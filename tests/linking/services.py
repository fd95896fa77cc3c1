"""A service of many ways, without a socket: it does what it is asked, and keeps what that was.

Nothing here checks a signature or a proof; that is for the real servers of the journeys.
"""

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

from omnibot.catalogue import ProviderSettings
from omnibot.errors import Upstream
from omnibot.provider import Secret
from omnibot.wire import Answer, Request

CATALOGUE = """\
title: Many ways
base: https://many.example
scopes: {read: read what is yours}
base_scopes: [read]
ways: [redirect, paste, pin, device]
whoami: {path: /me, id: id, login: login}
server:
  authorize_url: "{base}/authorize"
  token_url: "{base}/token"
  device_url: "{base}/device"
  client_auth: post
oauth1:
  request_url: "{base}/oauth1/request"
  authorize_url: "{base}/oauth1/authorize"
  token_url: "{base}/oauth1/token"
  revoke_request: {method: POST, path: /oauth1/invalidate}
sources: [made up]
"""

SIGNED = ProviderSettings(consumer_key="key", consumer_secret=Secret("unsaid"))
"""What an operator says who uses OAuth 1.0a there."""

BY_DEVICE = ProviderSettings("bot", Secret("unsaid"), device=True)
"""What one says who lets people link by a device's code."""


def catalogue(folder: Path) -> Path:
    """Write the service's file into *folder*."""
    folder.mkdir(exist_ok=True)
    (folder / "many.yaml").write_text(CATALOGUE, encoding="utf-8")
    return folder


class ManyWays:
    """The service; what it says next is for a test to set."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.callbacks: list[str] = []
        """Where each link of OAuth 1.0a shall come back to."""

        self.pin = "748256"
        self.device: list[str] = []
        """What is said to whoever asks about the device's code, in turn; then comes the token."""

        self.interval = 1
        self.out_of_order = False
        self.typed = asyncio.Event()
        """Set at the first question about a device's code."""

    async def send(self, request: Request, **more: Any) -> Answer:
        """Answer *request*."""
        self.asked.append(request)
        if self.out_of_order:
            raise Upstream("many.example did not answer in time.")
        answer = getattr(self, "_" + urlsplit(request.url).path.strip("/").replace("/", "_"))(request)
        assert isinstance(answer, Answer)
        return answer

    async def close(self) -> None:
        """Nothing is open."""

    def paths(self) -> list[str]:
        """What was asked, in order."""
        return [urlsplit(one.url).path for one in self.asked]

    def _oauth1_request(self, request: Request) -> Answer:
        self.callbacks.append(_signed(request)["oauth_callback"])
        number = len(self.callbacks)
        body = f"oauth_token=tmp-{number}&oauth_token_secret=tmp-secret&oauth_callback_confirmed=true"
        return Answer(200, {}, body.encode())

    def _oauth1_token(self, request: Request) -> Answer:
        said = _signed(request)
        if said["oauth_verifier"] != self.pin or not said["oauth_token"].startswith("tmp-"):
            return Answer(401, {}, b"Error processing your OAuth request: Invalid oauth_verifier parameter")
        return Answer(200, {}, b"oauth_token=lasting-token&oauth_token_secret=lasting-secret")

    def _oauth1_invalidate(self, request: Request) -> Answer:
        assert "lasting-token" == _signed(request)["oauth_token"]

        return Answer(200, {}, b"{}")

    def _device(self, request: Request) -> Answer:
        said = {
            "device_code": "device-secret",
            "user_code": "WDJB-MJHT",
            "verification_uri": "https://many.example/typed",
            "verification_uri_complete": "https://many.example/typed?code=WDJB-MJHT",
            "expires_in": 900,
            "interval": self.interval,
        }
        return Answer(200, {}, json.dumps(said).encode())

    def _token(self, request: Request) -> Answer:
        self.typed.set()
        form = parse_qs(request.body.decode())

        assert ["device-secret"] == form["device_code"]
        assert ["bot"] == form["client_id"]

        if self.device:
            return Answer(400, {}, json.dumps({"error": self.device.pop(0)}).encode())
        return Answer(200, {}, b'{"access_token":"by-device-token","token_type":"bearer"}')

    def _me(self, request: Request) -> Answer:
        return Answer(200, {}, b'{"id":"7","login":"ada-there"}')


def _signed(request: Request) -> dict[str, str]:
    header = request.headers["Authorization"].removeprefix("OAuth ")
    pairs = (one.strip().partition("=") for one in header.split(","))
    return {name: unquote(value.strip('"')) for name, _, value in pairs}


def query(url: str) -> dict[str, str]:
    """Return the parameters of *url*."""
    return dict(parse_qsl(urlsplit(url).query))
