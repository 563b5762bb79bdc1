"""TLS between nodes that share nothing but a passphrase.

The passphrase and the cluster's name make, through scrypt, the key of a certificate authority
(`certificates`); every node issues itself a short-lived leaf with it, and trusts what it signed.
TLS 1.3 only. Nodes authenticate each other; a foreign client may come without a certificate. A node
that dials checks the server's certificate first, so a different passphrase fails on the dialling
side, inside the handshake, and `explain_tls_error` says so.

Who has recorded or answered one handshake can try passphrases offline, at the price of one scrypt
each: long, random passphrases are what makes a cluster safe.

Source: RFC 7914 (scrypt), RFC 8446 (TLS 1.3), RFC 7301 (ALPN).
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from pulsing.errors import NodeUnreachable, NotAuthenticated, ProtocolMismatch, PulsingRuntimeError

from .passphrase import SHORT_PASSPHRASE_CHARS, Passphrase

if TYPE_CHECKING:
    from .certificates import ClusterAuthority

__all__ = ["PEER_ALPN", "ClusterTls", "Passphrase", "cluster_server_name", "explain_tls_error"]

logger = logging.getLogger(__name__)

PEER_ALPN: Final = "pulsing"
"""The protocol name that nodes offer each other; foreign clients offer ``h2`` or ``http/1.1``."""
REISSUE_AFTER_S: Final = 12 * 3600.0
"""Age of a leaf, in either direction, at which the next handshake uses a new one."""

# --- contexts ----------------------------------------------------------------------------------

_PROCESS_KEY: Final = secrets.token_bytes(32)
_MAX_CACHED_AUTHORITIES: Final = 16
_authorities: OrderedDict[tuple[bytes, str], ClusterAuthority] = OrderedDict()


class ClusterTls:
    """The TLS contexts of one cluster, from `derive`.

    Ask for a context at each handshake and do not keep it: after `REISSUE_AFTER_S` the next request
    makes new ones with fresh certificates (about 3 ms), so no timer is needed and a jump of the
    wall clock repairs itself.

    Attributes:
        server_name: what to give as ``server_hostname`` when dialling a node of this cluster.
    """

    __slots__ = ("_authority", "_client", "_issued_at", "_server", "_wall_clock", "server_name")

    def __init__(
        self,
        authority: ClusterAuthority,
        server_name: str,
        *,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.server_name = server_name
        self._authority = authority
        self._wall_clock = wall_clock
        self._issued_at = 0.0
        self._reissue(wall_clock())

    @classmethod
    def derive(
        cls,
        passphrase: Passphrase | str,
        cluster: str,
        *,
        wall_clock: Callable[[], float] = time.time,
    ) -> ClusterTls:
        """Derive the cluster's authority and issue this process a certificate.

        Blocks for about 0.15 s of scrypt the first time a process sees this passphrase with this
        cluster, without the interpreter lock: call it in a thread to keep a loop alive. Later
        calls take about 3 ms. The passphrase is not kept.

        Args:
            passphrase: the secret all nodes share.
            cluster: the cluster's name; it salts the key, so equal passphrases of two clusters
                do not meet.
            wall_clock: seconds since 1970, for the validity of certificates.

        Raises:
            ValueError: not a usable passphrase, as for `Passphrase`.
        """
        from .certificates import SEED_BYTES, ClusterAuthority

        if isinstance(passphrase, str):
            passphrase = Passphrase(passphrase)
        server_name = cluster_server_name(cluster)
        known_by = (passphrase.fingerprint(_PROCESS_KEY), cluster)
        authority = _authorities.get(known_by)
        if authority is None:
            if passphrase.is_short:
                logger.warning(
                    "the passphrase of cluster %r has fewer than %d characters: whoever can reach "
                    "a node can guess it offline; use a long random one",
                    cluster,
                    SHORT_PASSPHRASE_CHARS,
                )
            salt = b"pulsing cluster authority 1\0" + cluster.encode()
            authority = ClusterAuthority(passphrase.stretch(salt, SEED_BYTES), server_name)
            _authorities[known_by] = authority
            if len(_authorities) > _MAX_CACHED_AUTHORITIES:
                _authorities.popitem(last=False)
        return cls(authority, server_name, wall_clock=wall_clock)

    def server_context(self) -> ssl.SSLContext:
        """For accepted connections: a client certificate is verified if there is one."""
        self._refresh()
        return self._server

    def client_context(self) -> ssl.SSLContext:
        """For dialling nodes; pass `server_name` as ``server_hostname``."""
        self._refresh()
        return self._client

    @property
    def authority_pem(self) -> str:
        """The authority's certificate, for tools that want to verify nodes. It is no secret."""
        return ssl.DER_cert_to_PEM_cert(self._authority.certificate_der)

    def _refresh(self) -> None:
        now = self._wall_clock()
        if abs(now - self._issued_at) > REISSUE_AFTER_S:
            self._reissue(now)

    def _reissue(self, now: float) -> None:
        issued_at = datetime.fromtimestamp(now, UTC).replace(microsecond=0)
        server = _bare_context(ssl.PROTOCOL_TLS_SERVER, [PEER_ALPN, "h2", "http/1.1"])
        server.verify_mode = ssl.CERT_OPTIONAL
        # Links live for days and a ticket would outlive its certificate: no resumption.
        server.num_tickets = 0
        self._authority.install_leaf(server, issued_at)
        client = _bare_context(ssl.PROTOCOL_TLS_CLIENT, [PEER_ALPN])
        self._authority.install_leaf(client, issued_at)
        self._server, self._client, self._issued_at = server, client, now

    def __repr__(self) -> str:
        return f"ClusterTls(server_name={self.server_name!r})"


def cluster_server_name(cluster: str) -> str:
    """The DNS name in the certificates of a cluster: a digest, because SNI travels in cleartext."""
    digest = hashlib.blake2s(cluster.encode(), digest_size=16, person=b"tls-name").hexdigest()
    return f"{digest}.pulsing.internal"


def _bare_context(role: int, alpn: list[str]) -> ssl.SSLContext:
    context = ssl.SSLContext(role)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols(alpn)
    return context


# --- what went wrong ---------------------------------------------------------------------------

_EXPIRED_OR_NOT_YET_VALID: Final = (9, 10)  # X509_V_ERR_CERT_NOT_YET_VALID, _HAS_EXPIRED

# Marks in OpenSSL's reason, what they mean, and what to tell the person who dialled.
_BY_REASON: Final[tuple[tuple[str, type[PulsingRuntimeError], str], ...]] = (
    (
        # The alert our cleartext listener sends, and what OpenSSL makes of bytes that are no TLS.
        (
            "ACCESS_DENIED WRONG_VERSION_NUMBER RECORD_LAYER_FAILURE HTTP_REQUEST UNKNOWN_PROTOCOL "
            "PACKET_LENGTH_TOO_LONG NOT_SSL_RECORD"
        ),
        NotAuthenticated,
        (
            "it speaks cleartext, without a passphrase; start it with this cluster's passphrase, "
            "or drop the passphrase here"
        ),
    ),
    (
        "UNKNOWN_CA BAD_CERTIFICATE CERTIFICATE_UNKNOWN DECRYPT_ERROR",
        NotAuthenticated,
        (
            "it does not accept our certificate: the cluster passphrase or the cluster name "
            "differs; give both nodes the same"
        ),
    ),
    (
        "CERTIFICATE_REQUIRED CERTIFICATE_EXPIRED",
        NotAuthenticated,
        "it does not accept our certificate; compare the clocks of both machines",
    ),
    (
        (
            "PROTOCOL_VERSION UNSUPPORTED_PROTOCOL NO_PROTOCOLS_AVAILABLE HANDSHAKE_FAILURE "
            "NO_SHARED_CIPHER NO_APPLICATION_PROTOCOL"
        ),
        ProtocolMismatch,
        "it offers no TLS 1.3 handshake that fits; is it a node of Pulsing?",
    ),
)


def explain_tls_error(error: BaseException, address: str) -> PulsingRuntimeError:
    """The error to raise when dialling ``address`` with a passphrase failed.

    Args:
        error: what the handshake, or the first read after it, raised.
        address: the node that was dialled, for the message.

    Returns:
        NotAuthenticated when passphrases differ or one side has none, ProtocolMismatch when the
        other side has no fitting TLS, otherwise NodeUnreachable; ``error`` is its cause.
    """
    prefix = f"no TLS connection to {address}: "
    kind, text = _explanation(error)
    return kind(prefix + text, error if isinstance(error, Exception) else None)


def _explanation(error: BaseException) -> tuple[type[PulsingRuntimeError], str]:
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _EXPIRED_OR_NOT_YET_VALID:
            return NotAuthenticated, (
                f"its certificate is not valid now ({error.verify_message}); compare the clocks "
                "of both machines"
            )
        return NotAuthenticated, (
            "its certificate is not from this cluster: the cluster passphrase or the cluster name "
            f"differs; give both nodes the same ({error.verify_message})"
        )
    if isinstance(error, ssl.SSLError):
        reason = str(getattr(error, "reason", None))  # not all have one, whatever the stubs say
        for marks, kind, text in _BY_REASON:
            if any(mark in reason for mark in marks.split()):
                return kind, f"{text} ({reason})"
    if isinstance(error, ConnectionRefusedError):
        return NodeUnreachable, "nothing listens there; start the node or check the address"
    if isinstance(error, TimeoutError | ConnectionAbortedError):
        return NodeUnreachable, "the handshake took too long; the node hangs or is overloaded"
    if isinstance(error, ConnectionError | EOFError | ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return NodeUnreachable, (
            "it closed the connection during the handshake; it is stopping or overloaded, or no "
            "node of Pulsing"
        )
    return NodeUnreachable, f"{type(error).__name__}: {error}"
