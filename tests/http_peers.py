"""What the outward client meets in its tests: listeners that count, resolvers that lie, and its refusals."""

import asyncio
import contextlib
import socket
import ssl
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from omnibot.errors import OmnibotError
from omnibot.http import Http
from omnibot.wire import Request, origin_of

type Speak = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Listener:
    """A bare TCP listener on a port that the guard allows, which counts who connects."""

    def __init__(self, speak: Speak | None = None, context: ssl.SSLContext | None = None) -> None:
        self.port = 0
        self.connections = 0
        self._speak = speak
        self._context = context
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        for self.port in range(9999, 3000, -1):
            with contextlib.suppress(OSError):
                self._server = await asyncio.start_server(
                    self._connected, ("127.0.0.1", "127.0.0.2"), self.port, ssl=self._context
                )
                break
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server:
            self._server.close()
            await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(OSError):
            if self._speak:
                await self._speak(reader, writer)
            writer.close()
            await writer.wait_closed()


class FakeResolver(AbstractResolver):
    """Answers each question with the next list of addresses."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = self.answers.pop(0)
        if not found:
            raise OSError(None, "no such name")
        return [ResolveResult(hostname=host, host=ip, port=port, family=family, proto=0, flags=0) for ip in found]

    async def close(self) -> None:
        """Nothing is held."""


async def refusal(client: Http, request: Request, *, private: bool = False) -> OmnibotError:
    """Return the error that *request* meets, its own origin allowed where it has one."""
    try:
        origins = frozenset({origin_of(request.url)})
    except ValueError:
        origins = frozenset({request.url})
    with pytest.raises(OmnibotError) as caught:
        await client.send(request, origins=origins, private=private, timeout=5)
    return caught.value


def unvouched() -> ssl.SSLContext:
    """Make a server's context with a certificate that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rebind.example")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1)).sign(key, hashes.SHA256())
    return _context(made.public_bytes(serialization.Encoding.PEM), key)


def authority(host: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Make a server's context with a certificate for *host*, and a client's that trusts it and nothing else."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    made = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    client = ssl.create_default_context(cadata=made.decode())
    return _context(made, key), client


def _context(certificate: bytes, key: ec.EllipticCurvePrivateKey) -> ssl.SSLContext:
    """Return the context of a server with that *certificate* and *key*."""
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "both.pem")
        path.write_bytes(certificate + private)
        context.load_cert_chain(path)
    return context
