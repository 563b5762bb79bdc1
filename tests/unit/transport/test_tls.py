from __future__ import annotations

import errno
import logging
import os
import pickle
import ssl
import tempfile
import time
import traceback
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from pulsing.errors import NodeUnreachable, NotAuthenticated, ProtocolMismatch
from pulsing.transport import certificates, tls
from pulsing.transport.passphrase import MAX_PASSPHRASE_BYTES
from pulsing.transport.tls import (
    PEER_ALPN,
    REISSUE_AFTER_S,
    ClusterTls,
    Passphrase,
    cluster_server_name,
    explain_tls_error,
)

SECRET = "Zq7-do-not-print-me"
DAY_S = 86_400.0


@cache
def derived(passphrase: str = SECRET, cluster: str = "pulsing") -> ClusterTls:
    return ClusterTls.derive(passphrase, cluster)


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


def handshake(
    client: ssl.SSLContext, server: ssl.SSLContext, server_name: str
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """A whole handshake in memory. Raises what the first side to fail raises."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname=server_name)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    undone = [ours, theirs]
    for _ in range(10):
        for side in list(undone):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            undone.remove(side)
        if not undone:
            return ours, theirs
    raise AssertionError("the handshake did not end")


# --- the passphrase ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("secret\n", "secret"),
        ("  secret\t\r\n", "secret"),
        ("caf\u00e9", "cafe\u0301"),  # NFC and NFD
        ("two words", " two words "),
    ],
)
def test_the_same_secret_however_it_was_typed(one: str, other: str) -> None:
    assert Passphrase(one) == Passphrase(other)
    assert hash(Passphrase(one)) == hash(Passphrase(other))


def test_different_secrets_differ() -> None:
    assert Passphrase("secret") != Passphrase("Secret")
    assert Passphrase("two words") != Passphrase("two  words")
    assert Passphrase("secret") != "secret"


@pytest.mark.parametrize("text", ["", " ", "\n\t \u00a0", "x" * (MAX_PASSPHRASE_BYTES + 1)])
def test_unusable_passphrases_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="passphrase"):
        Passphrase(text)
    with pytest.raises(ValueError, match="passphrase"):
        ClusterTls.derive(text, "pulsing")


def test_a_passphrase_that_grows_too_long_in_utf8_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than"):
        Passphrase("\u00e9" * MAX_PASSPHRASE_BYTES)


def test_only_text_is_a_passphrase() -> None:
    with pytest.raises(TypeError, match="not bytes"):
        Passphrase(SECRET.encode())  # type: ignore[arg-type]


def test_a_passphrase_shows_itself_nowhere() -> None:
    passphrase = Passphrase(SECRET)
    for text in (repr(passphrase), str(passphrase), f"{passphrase}", f"{[passphrase]!r}"):
        assert SECRET not in text
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(passphrase)


@pytest.mark.parametrize("text", [SECRET + "\ud800", SECRET + "x" * MAX_PASSPHRASE_BYTES])
def test_an_error_about_a_passphrase_does_not_quote_it(text: str) -> None:
    with pytest.raises(ValueError, match="passphrase") as caught:
        Passphrase(text)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None


def test_nothing_derived_from_it_shows_the_passphrase(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "Short1"
    cluster = ClusterTls.derive(secret, "pulsing")
    assert "can guess it" in caplog.text  # the warning about its length
    assert secret not in caplog.text
    assert secret not in repr(cluster)
    assert secret not in repr(vars(tls))


# --- the authority -----------------------------------------------------------------------------


def authority_key(cluster: ClusterTls) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    certificate = x509.load_pem_x509_certificate(cluster.authority_pem.encode())
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_two_processes_derive_the_same_authority(monkeypatch: pytest.MonkeyPatch) -> None:
    first = derived()
    monkeypatch.setattr(tls, "_authorities", type(tls._authorities)())
    second = ClusterTls.derive(SECRET, "pulsing")
    assert authority_key(first) == authority_key(second)
    ours, theirs = handshake(
        first.client_context(), second.server_context(), cluster_server_name("pulsing")
    )
    assert ours.version() == theirs.version() == "TLSv1.3"
    assert ours.getpeercert()
    assert theirs.getpeercert()
    assert ours.selected_alpn_protocol() == PEER_ALPN


def test_the_passphrase_is_stretched_once_per_process(monkeypatch: pytest.MonkeyPatch) -> None:
    derived()
    monkeypatch.setattr(Passphrase, "stretch", lambda *_: pytest.fail("stretched again"))
    ClusterTls.derive(f" {SECRET}\n", "pulsing")


def test_remembered_authorities_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "_authorities", type(tls._authorities)())
    monkeypatch.setattr(Passphrase, "stretch", lambda self, salt, length: self.fingerprint(salt))
    for number in range(40):
        ClusterTls.derive(f"a passphrase, number {number}", "pulsing")
    assert len(tls._authorities) == 16


@pytest.mark.parametrize(
    ("passphrase", "cluster"), [("another secret", "pulsing"), (SECRET, "staging")]
)
def test_another_passphrase_or_cluster_name_fails_on_the_dialling_side(
    passphrase: str, cluster: str
) -> None:
    stranger = derived(passphrase, cluster)
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        handshake(
            stranger.client_context(), derived().server_context(), cluster_server_name("pulsing")
        )
    error = explain_tls_error(caught.value, "node7:8000")
    assert type(error) is NotAuthenticated
    assert "node7:8000" in str(error)
    assert "cluster passphrase or the cluster name differs" in str(error)
    assert error.cause is caught.value


def test_a_stranger_who_trusts_anybody_still_shows_the_wrong_certificate() -> None:
    stranger = ClusterTls.derive("another secret", "pulsing").client_context()
    stranger.check_hostname = False
    stranger.verify_mode = ssl.CERT_NONE
    with pytest.raises(ssl.SSLError, match="certificate verify failed"):
        handshake(stranger, derived().server_context(), "x")


def test_a_client_without_a_certificate_is_let_in_unauthenticated() -> None:
    browser = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    browser.check_hostname = False
    browser.verify_mode = ssl.CERT_NONE
    browser.set_alpn_protocols(["h2", "http/1.1"])
    ours, theirs = handshake(browser, derived().server_context(), "localhost")
    assert theirs.getpeercert() is None
    assert ours.selected_alpn_protocol() == "h2"


def test_tools_can_verify_a_node_by_the_authority() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=derived().authority_pem)
    handshake(context, derived().server_context(), derived().server_name)


def test_tls_1_2_is_refused() -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname = False
    old.verify_mode = ssl.CERT_NONE
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        handshake(old, derived().server_context(), "x")


# --- clocks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("days", [-1.9, -1, 1, 1.9])
def test_clocks_may_differ_by_more_than_a_day(days: float) -> None:
    skewed = ClusterTls.derive(SECRET, "pulsing", wall_clock=lambda: time.time() + days * DAY_S)
    handshake(skewed.client_context(), derived().server_context(), skewed.server_name)
    handshake(derived().client_context(), skewed.server_context(), skewed.server_name)


@pytest.mark.parametrize("days", [-30, 30])
def test_a_clock_that_is_far_off_is_named_as_the_reason(days: float) -> None:
    skewed = ClusterTls.derive(SECRET, "pulsing", wall_clock=lambda: time.time() + days * DAY_S)
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        handshake(derived().client_context(), skewed.server_context(), skewed.server_name)
    error = explain_tls_error(caught.value, "node7:8000")
    assert type(error) is NotAuthenticated
    assert "clocks" in str(error)


@pytest.mark.parametrize("jump_s", [REISSUE_AFTER_S + 1, -REISSUE_AFTER_S - 1, 400 * DAY_S])
def test_a_certificate_is_renewed_long_before_it_expires(jump_s: float) -> None:
    clock = Clock()
    cluster = ClusterTls.derive(SECRET, "pulsing", wall_clock=clock)
    server, client = cluster.server_context(), cluster.client_context()
    started = clock.now
    clock.now = started + REISSUE_AFTER_S / 2
    assert cluster.server_context() is server
    clock.now = started + jump_s
    assert cluster.server_context() is not server
    assert cluster.client_context() is not client
    assert cluster.client_context() is cluster.client_context()


# --- keys stay in memory -----------------------------------------------------------------------


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    assert list(tmp_path.iterdir()) == []


def descriptors() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="this system has no memfd_create")
def test_keys_touch_no_file_system(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "mkstemp", lambda **_: pytest.fail("wrote a file"))
    derived()
    before = descriptors()
    ClusterTls.derive(SECRET, "pulsing")
    assert descriptors() == before


@pytest.mark.parametrize("way", ["no memfd", "no proc"])
def test_without_memory_files_the_key_is_encrypted_and_gone_at_once(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    if way == "no memfd":
        monkeypatch.delattr(os, "memfd_create", raising=False)
    else:
        monkeypatch.setattr(os, "memfd_create", _no_memory, raising=False)
    seen: list[bytes] = []

    load = ssl.SSLContext.load_cert_chain

    def watched(context: ssl.SSLContext, certfile: str, *, password: bytes) -> None:
        assert Path(certfile).stat().st_mode & 0o077 == 0
        seen.append(Path(certfile).read_bytes())
        load(context, certfile, password=password)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", watched)
    before = descriptors()
    cluster = ClusterTls.derive(SECRET, "pulsing")
    assert descriptors() == before
    assert len(seen) == 2
    for content in seen:
        assert b"BEGIN ENCRYPTED PRIVATE KEY" in content
        assert b"BEGIN PRIVATE KEY" not in content
    handshake(cluster.client_context(), derived().server_context(), cluster.server_name)


def test_a_full_disk_is_an_error_that_leaves_nothing(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "memfd_create", _no_memory, raising=False)
    monkeypatch.setattr(certificates, "BestAvailableEncryption", _no_memory)
    with pytest.raises(OSError, match="full"):
        ClusterTls.derive(SECRET, "pulsing")


def _no_memory(*_: object) -> int:
    raise OSError(errno.ENOSPC, "full")


# --- explanations ------------------------------------------------------------------------------


def ssl_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}] something")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "kind", "advice"),
    [
        (ssl_error("TLSV1_ALERT_ACCESS_DENIED"), NotAuthenticated, "speaks cleartext"),
        (ssl_error("WRONG_VERSION_NUMBER"), NotAuthenticated, "speaks cleartext"),
        (ssl_error("TLSV1_ALERT_UNKNOWN_CA"), NotAuthenticated, "passphrase or the cluster name"),
        (ssl_error("TLSV13_ALERT_CERTIFICATE_REQUIRED"), NotAuthenticated, "certificate"),
        (ssl_error("TLSV1_ALERT_PROTOCOL_VERSION"), ProtocolMismatch, "TLS 1.3"),
        (ssl_error("SOMETHING_NEW"), NodeUnreachable, "SOMETHING_NEW"),
        (ssl.SSLEOFError(8, "EOF occurred"), NodeUnreachable, "closed the connection"),
        (ConnectionResetError(104, "reset"), NodeUnreachable, "closed the connection"),
        (ConnectionAbortedError("SSL handshake is taking longer"), NodeUnreachable, "too long"),
        (ConnectionRefusedError(111, "refused"), NodeUnreachable, "nothing listens there"),
        (TimeoutError(), NodeUnreachable, "too long"),
        (OSError(113, "No route to host"), NodeUnreachable, "No route to host"),
    ],
)
def test_every_failure_says_what_to_do(
    error: BaseException, kind: type[Exception], advice: str
) -> None:
    explained = explain_tls_error(error, "node7:8000")
    assert type(explained) is kind
    assert advice in str(explained)
    assert "node7:8000" in str(explained)
    assert explained.cause is error
