"""What a task is doing: where its code stands, and what it waits for."""

from __future__ import annotations

import asyncio
from pathlib import PurePath
from typing import Any, Final

_MAX_FRAMES: Final = 30


def describe_task(task: asyncio.Task[Any]) -> str:
    """One line for people: its name, its code from the inside out, and what it waits for."""
    if task.done():
        return f"{task.get_name()}: has ended"
    places: list[str] = []
    awaited: Any = task.get_coro()
    while awaited is not None and len(places) < _MAX_FRAMES:
        frame, inner = _frame_and_inner(awaited)
        if frame is None:
            break
        code = frame.f_code
        file = "/".join(PurePath(code.co_filename).parts[-2:])
        places.append(f"{file}:{frame.f_lineno} in {code.co_qualname}")
        awaited = inner
    where = " < ".join(reversed(places)) or repr(task.get_coro())
    waits_for = getattr(task, "_fut_waiter", None)
    if waits_for is None:
        return f"{task.get_name()}: runs, or is about to, at {where}"
    return f"{task.get_name()}: waits for {_short(waits_for)} at {where}"


def describe_tasks(tasks: set[asyncio.Task[Any]]) -> list[str]:
    """The lines of several by name, those of Pulsing itself last."""
    return sorted(map(describe_task, tasks), key=lambda line: (line.startswith("pulsing-"), line))


def _frame_and_inner(awaited: Any) -> tuple[Any, Any]:
    for frame, inner in (
        ("cr_frame", "cr_await"),
        ("gi_frame", "gi_yieldfrom"),
        ("ag_frame", "ag_await"),
    ):
        if hasattr(awaited, frame):
            return getattr(awaited, frame), getattr(awaited, inner)
    return None, None


def _short(awaited: object) -> str:
    text = repr(awaited)
    return text if len(text) <= 120 else f"{text[:110]}...>"
