"""SASL mechanisms as conversations without I/O, and how IRC carries them (IRCv3 SASL 3.1 and 3.2).

A mechanism is a generator: it is sent the server's challenges and yields a `Step` for each, the first one
for the empty challenge with which every server begins.  None of them puts a secret into an error.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import stringprep
import unicodedata
from collections.abc import Callable, Generator
from dataclasses import dataclass

from adapters.irc.settings import Sasl

CHUNK = 400
"""Characters of Base64 a line; a chunk that is shorter is the last."""

MAX_CHALLENGE = 65536
"""Characters of a challenge, all chunks together."""

FEWEST_ITERATIONS = 4096
"""RFC 7677 section 4."""

MOST_ITERATIONS = 200_000
"""More would hold up the whole bot: a tenth of a second."""

_NONCE = re.compile(r"[\x21-\x2b\x2d-\x7e]+")


class SaslError(Exception):
    """The login cannot go on: what the server sent is wrong, or it did not prove that it knows the password."""


@dataclass(frozen=True, slots=True, repr=False)
class Step:
    """What to answer to a challenge."""

    response: bytes
    done: bool
    """Whether the mechanism agrees that the server calls the login good after this."""


type Mechanism = Generator[Step, bytes, None]


def mechanism(options: Sasl, nonce: Callable[[], str] = lambda: secrets.token_urlsafe(24)) -> Mechanism:
    """Return the conversation that *options* ask for; *nonce* makes SCRAM's."""
    password = options.password.value if options.password else ""
    match options.mechanism:
        case "PLAIN":
            return plain(options.username, password)
        case "EXTERNAL":
            return external(options.username)
        case "SCRAM-SHA-256":
            return scram_sha_256(options.username, password, nonce())
        case "ECDSA-NIST256P-CHALLENGE":
            return ecdsa_nist256p_challenge(options.username, options.key.value if options.key else "")


class Exchange:
    """One login: chunks of Base64 in, chunks of Base64 out."""

    def __init__(self, conversation: Mechanism) -> None:
        """Begin *conversation*."""
        self.done = False
        """Whether a success that the server tells now may be believed."""

        self._conversation = conversation
        self._begun = False
        self._chunks: list[str] = []

    def feed(self, chunk: str) -> list[str]:
        """Take one AUTHENTICATE of the server's; return what to send, each as one AUTHENTICATE.

        Raises:
            SaslError: it cannot go on.
        """
        if chunk != "+":
            self._chunks.append(chunk)
        if len(self._chunks) * CHUNK > MAX_CHALLENGE or len(chunk) > CHUNK:
            raise SaslError("the challenge is too long")
        if len(chunk) == CHUNK:
            return []
        challenge, self._chunks = "".join(self._chunks), []
        return chunked(self._answer(_unbase64(challenge)))

    def _answer(self, challenge: bytes) -> bytes:
        if not self._begun:
            if challenge:
                raise SaslError("the server sent a challenge before the mechanism began")
            self._begun = True
            step = next(self._conversation)
        else:
            try:
                step = self._conversation.send(challenge)
            except StopIteration:
                raise SaslError("the server asks for more than the mechanism has") from None
        self.done = step.done
        return step.response


def chunked(response: bytes) -> list[str]:
    """Return *response* as the parameters of AUTHENTICATE; ``+`` stands for nothing, or for nothing more."""
    text = base64.b64encode(response).decode()
    chunks = [text[start : start + CHUNK] for start in range(0, len(text), CHUNK)]
    return chunks if chunks and len(chunks[-1]) < CHUNK else [*chunks, "+"]


def _unbase64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise SaslError("the challenge is no Base64") from None


def plain(username: str, password: str) -> Mechanism:
    """RFC 4616, with the user as the authorization identity too, which some services need."""
    yield Step(f"{username}\0{username}\0{password}".encode(), done=True)


def external(username: str) -> Mechanism:
    """RFC 4422 appendix A: the certificate of the connection says who it is."""
    yield Step(username.encode(), done=True)


def scram_sha_256(username: str, password: str, nonce: str) -> Mechanism:
    """RFC 5802 and RFC 7677, without channel binding.  It is done only when the server has proved itself as well.

    Raises:
        SaslError: while it runs, if the server's part is wrong in any way.
    """
    first = f"n={saslprep(username).replace('=', '=3D').replace(',', '=2C')},r={nonce}"
    server_first = _text((yield Step(f"n,,{first}".encode(), done=False)))
    server_nonce, salt, iterations = _server_first(server_first, nonce)
    without_proof = f"c=biws,r={server_nonce}"  # biws: Base64 of "n,,"
    signed = f"{first},{server_first},{without_proof}".encode()
    salted = hashlib.pbkdf2_hmac("sha256", saslprep(password).encode(), salt, iterations)
    client_key = _hmac(salted, b"Client Key")
    signature = _hmac(hashlib.sha256(client_key).digest(), signed)
    proof = base64.b64encode(bytes(a ^ b for a, b in zip(client_key, signature, strict=True))).decode()
    server_final = _text((yield Step(f"{without_proof},p={proof}".encode(), done=False)))
    expected = _hmac(_hmac(salted, b"Server Key"), signed)
    if not hmac.compare_digest(_attribute(server_final.partition(",")[0], "v").encode(), base64.b64encode(expected)):
        raise SaslError("the server could not prove that it knows the password")
    yield Step(b"", done=True)


def _server_first(message: str, nonce: str) -> tuple[str, bytes, int]:
    """Return the nonce of both, the salt and the iterations (RFC 5802 section 5.1)."""
    parts = message.split(",")
    if len(parts) < 3:
        raise SaslError("the server's first message is incomplete")
    both, salt, iterations = _attribute(parts[0], "r"), _attribute(parts[1], "s"), _attribute(parts[2], "i")
    if not (both.startswith(nonce) and len(both) > len(nonce) and _NONCE.fullmatch(both)):
        raise SaslError("the server's nonce does not continue ours")
    if not re.fullmatch(r"[0-9]{1,9}", iterations) or not FEWEST_ITERATIONS <= int(iterations) <= MOST_ITERATIONS:
        raise SaslError(f"the server wants a number of iterations outside {FEWEST_ITERATIONS}-{MOST_ITERATIONS}")
    if not salt:
        raise SaslError("the server sent no salt")
    return both, _unbase64(salt), int(iterations)


def _attribute(part: str, name: str) -> str:
    key, _, value = part.partition("=")
    if key == "e":
        raise SaslError("the services said no")
    if key != name:
        raise SaslError("the server sent what SCRAM does not know")
    return value


def _text(message: bytes) -> str:
    try:
        return message.decode()
    except UnicodeDecodeError:
        raise SaslError("the challenge is no UTF-8") from None


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def saslprep(text: str) -> str:
    """Return *text* prepared by RFC 4013.

    Raises:
        SaslError: it holds what is prohibited.
    """
    if text.isascii() and text.isprintable():
        return text
    mapped = ("" if stringprep.in_table_b1(char) else " " if stringprep.in_table_c12(char) else char for char in text)
    prepared = unicodedata.normalize("NFKC", "".join(mapped))
    if any(table(char) for char in prepared for table in _PROHIBITED):
        raise SaslError("the name or password holds characters that SASL prohibits")
    right_to_left = [stringprep.in_table_d1(char) for char in prepared]
    mixed = any(map(stringprep.in_table_d2, prepared)) or not (right_to_left[:1] == right_to_left[-1:] == [True])
    if any(right_to_left) and mixed:
        raise SaslError("the name or password mixes directions in a way that SASL prohibits")
    return prepared


_PROHIBITED = (
    stringprep.in_table_a1,  # unassigned: we store no strings, but RFC 5802 section 5.1 treats passwords so
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def ecdsa_nist256p_challenge(username: str, key: str) -> Mechanism:
    """Sign the 32 bytes that the server sends with the private key in the PEM *key*, as Atheme's saslserv checks it.

    Raises:
        SaslError: while it runs, if the key is no NIST P-256 key or the challenge is not of 32 bytes.
    """
    from cryptography.hazmat.primitives.asymmetric import ec  # only who uses it pays for it
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        private = load_pem_private_key(key.encode(), None)
    except (ValueError, TypeError):
        private = None  # the error's own text may hold some of the key
    if not (isinstance(private, ec.EllipticCurvePrivateKey) and isinstance(private.curve, ec.SECP256R1)):
        raise SaslError("sasl.key is no NIST P-256 private key in PEM without a passphrase")
    challenge = yield Step(f"{username}\0{username}".encode(), done=False)
    if len(challenge) != SHA256.digest_size:
        raise SaslError("the challenge has not 32 bytes")
    yield Step(private.sign(challenge, ec.ECDSA(Prehashed(SHA256()))), done=True)
