"""The secret of a cluster, in a wrapper that does not spill it.

Source: RFC 7914 (scrypt); Unicode Standard Annex 15 (NFC).
"""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from typing import Final, NoReturn

MAX_PASSPHRASE_BYTES: Final = 1 << 20
SHORT_PASSPHRASE_CHARS: Final = 12
"""A passphrase below this length is accepted, with a warning."""

_SCRYPT_N: Final = 1 << 15
_SCRYPT_BLOCKS: Final = 8
_SCRYPT_MEMORY_BYTES: Final = 64 << 20  # what OpenSSL may take; it needs 128 * n * r = 32 MiB


class Passphrase:
    """The secret of a cluster, which shows itself to nobody.

    The text is normalised (Unicode NFC) and white space around it is dropped, so that a value typed
    on another system or read from a file with a trailing newline is the same secret.

    Args:
        text: 1 to `MAX_PASSPHRASE_BYTES` octets of UTF-8 after normalisation.

    Raises:
        ValueError: nothing but white space, too long, or not encodable; never quotes the text.
        TypeError: not a string.
    """

    __slots__ = ("_secret",)

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"a passphrase is a str, not {type(text).__name__}")
        if len(text) > MAX_PASSPHRASE_BYTES:
            raise _too_long()
        try:
            secret = unicodedata.normalize("NFC", text).strip().encode()
        except UnicodeEncodeError:
            secret = None  # the exception holds the text: it must not become a context
        if secret is None:
            raise ValueError("the passphrase holds a lone surrogate, which UTF-8 cannot express")
        if not secret:
            raise ValueError(
                "the passphrase is empty; give one, or passphrase=None for a cluster without TLS"
            )
        if len(secret) > MAX_PASSPHRASE_BYTES:
            raise _too_long()
        self._secret = secret

    @property
    def is_short(self) -> bool:
        """Whether guessing it from one recorded handshake looks feasible."""
        return len(self._secret.decode()) < SHORT_PASSPHRASE_CHARS

    def stretch(self, salt: bytes, length_bytes: int) -> bytes:
        """Key material from the secret: scrypt with n=2^15, r=8, p=1, about 0.1 s and 32 MiB."""
        return hashlib.scrypt(
            self._secret,
            salt=salt,
            n=_SCRYPT_N,
            r=_SCRYPT_BLOCKS,
            p=1,
            maxmem=_SCRYPT_MEMORY_BYTES,
            dklen=length_bytes,
        )

    def fingerprint(self, key: bytes) -> bytes:
        """A keyed hash of the secret, to recognise it without keeping it."""
        return hashlib.blake2b(self._secret, key=key, digest_size=32).digest()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Passphrase):
            return NotImplemented
        return hmac.compare_digest(self._secret, other._secret)

    def __hash__(self) -> int:
        return hash(self._secret)

    def __repr__(self) -> str:
        return "Passphrase(...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a passphrase is not pickled")


def _too_long() -> ValueError:
    return ValueError(f"the passphrase is longer than {MAX_PASSPHRASE_BYTES} bytes of UTF-8")
