"""What exceptions say, as text that can always be made and always travels."""

from __future__ import annotations

import traceback
from typing import Final

TEXT_BYTES: Final = 8 * 1024
"""Longest message of an exception that travels."""
_FRAMES: Final = 40


class RemoteTraceback(Exception):
    """The traceback of an actor's exception, as text. It is the ``__cause__`` of what callers get.

    Attributes:
        original: the exception itself when the actor is in the same process, otherwise None.
        method: of the actor, whose code raised it; "" for what the framework there answered.
    """

    def __init__(
        self, text: str = "", original: BaseException | None = None, *, method: str = ""
    ) -> None:
        super().__init__(text)
        self._text = text
        self.original = original
        self.method = method

    def __str__(self) -> str:
        if not self._text and self.original is not None:
            self._text = traceback_text(self.original)
        return self._text


def text_of(exc: BaseException) -> str:
    """``str(exc)``, or what came in its way."""
    try:
        return str(exc)
    except BaseException as error:  # noqa: BLE001 - __str__ of a user's exception may do anything
        return f"<{type(exc).__name__} whose str() raised {type(error).__name__}>"


def traceback_text(exc: BaseException) -> str:
    """The traceback with the causes and groups of an exception, its innermost frames."""
    try:
        lines = traceback.format_exception(exc, limit=-_FRAMES)
    except Exception as error:  # noqa: BLE001 - as above, and recursion in deep chains
        return f"<traceback not available: {type(error).__name__}>"
    return "".join(cut(line, TEXT_BYTES) for line in lines)


def clean(text: str, most_bytes: int) -> str:
    """Text that can travel: short enough, no lone surrogates."""
    octets = cut(text, most_bytes).encode("utf-8", "backslashreplace")
    if len(octets) <= most_bytes:
        return octets.decode()
    half = most_bytes // 2 - 4
    return f"{octets[:half].decode(errors='ignore')} ... {octets[-half:].decode(errors='ignore')}"


def cut(text: str, most: int) -> str:
    """At most ``most`` characters: the beginning and the end."""
    if len(text) <= most:
        return text
    half = most // 2 - 32
    return f"{text[:half]} ... [{len(text) - 2 * half} characters left out] ... {text[-half:]}"


def labelled(name: str, text: str) -> str:
    """Text of an exception whose class the caller will not see."""
    return f"{name}: {text}" if text else name
