"""Certificates for one run: an authority, what it signs, and what signs itself."""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

VALID = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its key, both as PEM files."""

    path: Path
    key_path: Path
    fingerprint: str
    """The SHA-256 of the certificate in DER, in lower-case hexadecimal."""


class Authority:
    """Signs certificates; *path* has its own, for whoever is to trust it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("The test suite's authority")
        made = (
            _begin(self._name, self._key.public_key())
            .issuer_name(self._name)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.path = home / "authority.pem"
        self.path.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def server(self, name: str, *hosts: str) -> Certificate:
        """Make the certificate *name* for a server on this machine, which is called *hosts*."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [*map(x509.DNSName, hosts), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        authority = self._key.public_key()
        made = (
            _begin(_name(hosts[0]), key.public_key())
            .issuer_name(self._name)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return _write(self.home, name, key, made)


def self_signed(home: Path, name: str) -> Certificate:
    """Make the certificate *name* in *home*, with which a person shows who they are."""
    key = ec.generate_private_key(ec.SECP256R1())
    made = _begin(_name(name), key.public_key()).issuer_name(_name(name)).sign(key, hashes.SHA256())
    return _write(home, name, key, made)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common)])


def _begin(subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - VALID)
        .not_valid_after(now + VALID)
    )


def _usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write(home: Path, name: str, key: ec.EllipticCurvePrivateKey, made: x509.Certificate) -> Certificate:
    path, key_path = home / f"{name}.pem", home / f"{name}.key"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    kept = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key_path.touch(mode=0o600)
    key_path.write_bytes(kept)
    return Certificate(path, key_path, made.fingerprint(hashes.SHA256()).hex())
