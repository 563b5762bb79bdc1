"""The certificates of a cluster: one authority that a passphrase makes, and the leaves it signs.

Every node derives the same P-256 key from the passphrase and the cluster's name, so every node can
issue itself a certificate that all others accept, and nobody else can. P-256 because OpenSSL has
its fastest code for it. Keys live in memory only: `ssl` reads certificates from paths, and the
paths here lead to memory or, where the system cannot do that, to an encrypted file that is gone at
once.

Source: RFC 5280 for the fields, RFC 6125 for the name, SEC 2 for the curve's order.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from hashlib import blake2s
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SEED_BYTES: Final = 48
"""Entropy for the authority's key: 128 bits more than the order, so that no scalar is likelier."""
LEAF_BACKDATED: Final = timedelta(days=2)
"""How far the clock of another node may be behind ours."""
LEAF_LIFETIME: Final = timedelta(days=7)
"""From its issue; how far another clock may be ahead, plus how long a connection may be made."""

_P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_AUTHORITY_FROM: Final = datetime(2000, 1, 1, tzinfo=UTC)
_AUTHORITY_UNTIL: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)  # RFC 5280 4.1.2.5: none


class ClusterAuthority:
    """Issues the certificates of one cluster.

    Args:
        seed: `SEED_BYTES` octets that only members can derive.
        server_name: the DNS name that stands for the cluster in every leaf.
    """

    __slots__ = ("_certificate", "_key", "_server_name")

    def __init__(self, seed: bytes, server_name: str) -> None:
        scalar = int.from_bytes(seed, "big") % (_P256_ORDER - 1) + 1
        self._key = ec.derive_private_key(scalar, ec.SECP256R1())
        self._server_name = server_name
        # The same in every node, but for the random part of the signature, which nobody compares.
        self._certificate = (
            _unsigned(self._key.public_key(), f"pulsing {server_name}", f"pulsing {server_name}")
            .serial_number(_stable_serial(self._key.public_key()))
            .not_valid_before(_AUTHORITY_FROM)
            .not_valid_after(_AUTHORITY_UNTIL)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def certificate_der(self) -> bytes:
        """The authority's own certificate; it is no secret."""
        return self._certificate.public_bytes(Encoding.DER)

    def install_leaf(self, context: ssl.SSLContext, issued_at: datetime) -> None:
        """Give ``context`` a new key and a certificate for it, and trust in this authority.

        Raises:
            OSError: no descriptor and no temporary file could be had; nothing was left behind.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = self._key.public_key()
        leaf = (
            _unsigned(key.public_key(), "pulsing node", f"pulsing {self._server_name}")
            .serial_number(x509.random_serial_number())
            .not_valid_before(issued_at - LEAF_BACKDATED)
            .not_valid_after(issued_at + LEAF_LIFETIME)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage(
                    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
                ),
                critical=False,
            )
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName(self._server_name)]), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        context.load_verify_locations(cadata=self.certificate_der)
        _load_chain(context, leaf.public_bytes(Encoding.PEM), key)


def _unsigned(
    public_key: ec.EllipticCurvePublicKey, subject: str, issuer: str
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(public_key)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _stable_serial(public_key: ec.EllipticCurvePublicKey) -> int:
    identifier = x509.SubjectKeyIdentifier.from_public_key(public_key).digest
    return int.from_bytes(blake2s(identifier, digest_size=16).digest(), "big") >> 1 | 1


# --- into an SSLContext without a file that stays -----------------------------------------------


def _load_chain(
    context: ssl.SSLContext, certificate_pem: bytes, key: ec.EllipticCurvePrivateKey
) -> None:
    # A broken or missing /proc is no reason to fail: the file below works everywhere.
    if hasattr(os, "memfd_create"):
        with contextlib.suppress(OSError):
            _load_from_memory(context, certificate_pem + _key_pem(key, NoEncryption()))
            return
    _load_from_file(context, certificate_pem, key)


def _key_pem(key: ec.EllipticCurvePrivateKey, encryption: KeySerializationEncryption) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def _load_from_memory(context: ssl.SSLContext, pem: bytes) -> None:
    """Through an anonymous file of Linux: it has no name and dies with its descriptor."""
    descriptor = os.memfd_create("pulsing-identity")
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")


def _load_from_file(
    context: ssl.SSLContext, certificate_pem: bytes, key: ec.EllipticCurvePrivateKey
) -> None:
    """Through a file only we can read, its key encrypted under a password nobody keeps."""
    password = secrets.token_bytes(32).hex().encode()
    descriptor, path = tempfile.mkstemp(prefix="pulsing-", suffix=".pem")  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(certificate_pem + _key_pem(key, BestAvailableEncryption(password)))
        context.load_cert_chain(path, password=password)
    finally:
        Path(path).unlink()
