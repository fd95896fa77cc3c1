"""SASL mechanisms, by the vectors of their RFCs, and how IRC carries them."""

import base64
import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from adapters.irc.sasl import (
    CHUNK,
    MAX_CHALLENGE,
    Exchange,
    Mechanism,
    SaslError,
    Step,
    chunked,
    mechanism,
    plain,
    saslprep,
    scram_sha_256,
)
from adapters.irc.settings import Sasl
from omnibot.provider import Secret

NONCE = "rOprNGfwEbeRWgbNEkqO"
SERVER_FIRST = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
SERVER_FINAL = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def rfc_7677() -> Mechanism:
    """The conversation of RFC 7677 section 3, at its beginning."""
    return scram_sha_256("user", "pencil", NONCE)


def test_scram_speaks_as_rfc_7677_does() -> None:
    """Every message of its example, byte by byte."""
    conversation = rfc_7677()

    assert b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO" == next(conversation).response
    assert (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        == conversation.send(SERVER_FIRST).response
    )
    assert Step(b"", done=True) == conversation.send(SERVER_FINAL)


def test_scram_is_done_only_when_the_server_has_proved_itself() -> None:
    """Before that whoever is there may be anybody."""
    conversation = rfc_7677()

    assert [False, False] == [next(conversation).done, conversation.send(SERVER_FIRST).done]


@pytest.mark.parametrize(
    "final",
    [
        b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=",
        b"v=",
        b"",
        b"e=invalid-proof",
        b"x=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        b"\xff",
    ],
)
def test_scram_believes_no_server_that_cannot_prove_itself(final: bytes) -> None:
    """A server without the password cannot sign."""
    conversation = rfc_7677()
    next(conversation)
    conversation.send(SERVER_FIRST)

    with pytest.raises(SaslError):
        conversation.send(final)


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"\xff",
        b"r=,s=,i=",
        b"e=other-error",
        b"m=x,r=rOprNGfwEbeRWgbNEkqO1,s=AAAA,i=4096",
        b"r=rOprNGfwEbeRWgbNEkqO,s=AAAA,i=4096",
        b"r=another,s=AAAA,i=4096",
        b"r=rOprNGfwEbeRWgbNEkqO1,s=,i=4096",
        b"r=rOprNGfwEbeRWgbNEkqO1,s=!!!,i=4096",
        b"r=rOprNGfwEbeRWgbNEkqO1,s=AAAA,i=1",
        b"r=rOprNGfwEbeRWgbNEkqO1,s=AAAA,i=4095",
        b"r=rOprNGfwEbeRWgbNEkqO1,s=AAAA,i=999999999",
        b"r=rOprNGfwEbeRWgbNEkqO1,s=AAAA,i=x",
        b"r=rOprNGfwEbeRWgbNEkqO1,s=AAAA",
    ],
)
def test_scram_gives_no_proof_for_a_wrong_beginning(first: bytes) -> None:
    """Neither for another's nonce nor for iterations so few that the proof could be searched."""
    conversation = rfc_7677()
    next(conversation)

    with pytest.raises(SaslError):
        conversation.send(first)


def test_scram_with_a_stand_in_for_the_server() -> None:
    """A name with commas and a password that has to be prepared, checked as RFC 5802 section 3 says a server does."""
    conversation = scram_sha_256("a,b=c", "pa\u00adss\u2168", "nonce")
    first = next(conversation).response.decode()
    server_first = "r=noncemore,s=c2FsdA==,i=5000"
    final = conversation.send(server_first.encode()).response.decode()
    without, _, proof = final.rpartition(",p=")
    salted = hashlib.pbkdf2_hmac("sha256", b"passIX", b"salt", 5000)
    signed = f"{first.removeprefix('n,,')},{server_first},{without}".encode()
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    signature = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
    recovered = bytes(a ^ b for a, b in zip(base64.b64decode(proof), signature, strict=True))
    server_signature = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), signed, "sha256")

    assert "n,,n=a=2Cb=3Dc,r=nonce" == first
    assert client_key == recovered
    assert conversation.send(b"v=" + base64.b64encode(server_signature)).done


@pytest.mark.parametrize(
    ("text", "prepared"),
    [("I\u00adX", "IX"), ("user", "user"), ("USER", "USER"), ("\u00aa", "a"), ("\u2168", "IX"), ("a\u00a0b", "a b")],
)
def test_names_and_passwords_are_prepared(text: str, prepared: str) -> None:
    """RFC 4013 section 3, its examples."""
    assert prepared == saslprep(text)


@pytest.mark.parametrize("text", ["\u0007", "\u06271", "\u0627a\u0627", "\ufffd", "\U000e0001"])
def test_what_sasl_prohibits_is_refused(text: str) -> None:
    """The last examples of RFC 4013, and others."""
    with pytest.raises(SaslError):
        saslprep(text)


def test_right_to_left_is_allowed() -> None:
    """As long as it is that from end to end."""
    assert "\u0627\u0628" == saslprep("\u0627\u0628")


def test_plain_names_the_user_twice() -> None:
    """As authorization identity too."""
    assert Step(b"bot\0bot\0hunter2", done=True) == next(plain("bot", "hunter2"))


@pytest.mark.parametrize("username", ["", "bot"])
def test_external_says_who_or_leaves_it_to_the_certificate(username: str) -> None:
    """An empty answer is a plus sign on IRC."""
    exchange = Exchange(mechanism(Sasl(mechanism="EXTERNAL", username=username)))

    assert (["Ym90"] if username else ["+"]) == exchange.feed("+")
    assert exchange.done


def pem(curve: ec.EllipticCurve) -> tuple[ec.EllipticCurvePrivateKey, str]:
    key = ec.generate_private_key(curve)
    return key, key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


def ecdsa(key: str) -> Exchange:
    return Exchange(mechanism(Sasl(mechanism="ECDSA-NIST256P-CHALLENGE", username="bot", key=Secret(key))))


def test_ecdsa_signs_the_challenge() -> None:
    """The 32 bytes as they are, for they stand for a digest."""
    key, text = pem(ec.SECP256R1())
    exchange = ecdsa(text)
    challenge = bytes(range(32))

    assert [base64.b64encode(b"bot\0bot").decode()] == exchange.feed("+")
    assert not exchange.done
    [answer] = exchange.feed(base64.b64encode(challenge).decode())
    key.public_key().verify(base64.b64decode(answer), challenge, ec.ECDSA(Prehashed(SHA256())))
    assert exchange.done


@pytest.mark.parametrize("key", ["", "rubbish", pem(ec.SECP384R1())[1]])
def test_ecdsa_wants_a_key_of_its_curve(key: str) -> None:
    """And says nothing of the one it got."""
    with pytest.raises(SaslError, match=r"^sasl\.key is no NIST P-256 private key in PEM without a passphrase$"):
        ecdsa(key).feed("+")


def test_ecdsa_signs_nothing_else_than_a_challenge() -> None:
    """A server may not choose what is signed at length."""
    exchange = ecdsa(pem(ec.SECP256R1())[1])
    exchange.feed("+")

    with pytest.raises(SaslError):
        exchange.feed(base64.b64encode(b"x" * 33).decode())


@pytest.mark.parametrize(
    ("size", "lengths"),
    [
        (0, [1]),
        (1, [4]),
        (299, [400, 1]),
        (300, [400, 1]),
        (301, [400, 4]),
        (600, [400, 400, 1]),
        (750, [400, 400, 200]),
    ],
)
def test_answers_go_in_chunks_of_400(size: int, lengths: list[int]) -> None:
    """A last one that is full is followed by a plus sign (IRCv3 SASL 3.1)."""
    chunks = chunked(b"x" * size)

    assert lengths == [len(one) for one in chunks]
    assert b"x" * size == base64.b64decode("".join(one for one in chunks if one != "+"))


def test_challenges_come_in_chunks_too() -> None:
    """A salt may be long; the last chunk is shorter, or a plus sign."""
    heard: list[bytes] = []

    def listening() -> Mechanism:
        heard.append((yield Step(b"", done=False)))
        heard.append((yield Step(b"", done=False)))
        yield Step(b"", done=True)

    exchange = Exchange(listening())
    exchange.feed("+")
    long, exact = base64.b64encode(b"y" * 400).decode(), base64.b64encode(b"z" * 300).decode()

    assert [] == exchange.feed(long[:400])
    assert ["+"] == exchange.feed(long[400:])
    assert [] == exchange.feed(exact)
    assert ["+"] == exchange.feed("+")
    assert [b"y" * 400, b"z" * 300] == heard


@pytest.mark.parametrize("chunk", ["!!", "A", "=", "é", "A" * 401])
def test_a_challenge_that_is_none_ends_it(chunk: str) -> None:
    """Neither is it guessed at."""
    exchange = Exchange(rfc_7677())
    exchange.feed("+")

    with pytest.raises(SaslError):
        exchange.feed(chunk)


def test_a_challenge_has_an_end() -> None:
    """A server cannot fill the memory."""
    exchange = Exchange(rfc_7677())
    for _ in range(MAX_CHALLENGE // CHUNK):
        assert [] == exchange.feed("A" * CHUNK)

    with pytest.raises(SaslError, match="too long"):
        exchange.feed("A" * CHUNK)


def test_nothing_is_said_to_a_server_that_begins_out_of_turn() -> None:
    """The mechanisms here are all client-first."""
    with pytest.raises(SaslError):
        Exchange(plain("bot", "hunter2")).feed("AAAA")


def test_nothing_is_said_twice() -> None:
    """A mechanism that is over has no answer."""
    exchange = Exchange(plain("bot", "hunter2"))
    exchange.feed("+")

    with pytest.raises(SaslError):
        exchange.feed("+")


def test_a_step_gives_nothing_away() -> None:
    """It may hold a password."""
    assert "hunter2" not in repr(next(plain("bot", "hunter2")))
