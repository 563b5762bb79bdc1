"""How an actor's coroutines are driven: every step in the context of its message.

The task underneath belongs to a runner and serves many messages. So context variables are kept
here, per message, and every resumption asks the gate of the actor first: async methods stand still
while a ``def`` method of the same actor runs in a thread.
"""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final

from pulsing.actor.carried import arrived
from pulsing.actor.deadline import SCOPE

if TYPE_CHECKING:
    from pulsing.actor.invocation import Invocation

Wait = Generator[Any, None, Any]
"""What a runner delegates to: it yields what asyncio tasks wait for."""


DONE: Final = object()
"""What `begin` gives for a coroutine that has returned."""


def begin(invocation: Invocation) -> Any:
    """Call an async method and run it to its first wait. Runs inside the message's context.

    Returns:
        What the coroutine waits for; `DONE` when it returned without waiting, then its caller has
        the answer.
    """
    SCOPE.set(invocation)
    arguments = invocation.args
    keywords = invocation.kwargs
    invocation.args = ()
    function = invocation.method.function
    if invocation.meta is not None:
        function = arrived(invocation, function)
    if keywords:
        invocation.kwargs = None
        work = function(invocation.cell.instance, *arguments, **keywords)
    else:
        work = function(invocation.cell.instance, *arguments)
    if work.__class__ is not CoroutineType:
        work = _await(work)
    invocation.work = work
    try:
        return work.send(None)
    except StopIteration as returned:
        invocation.reply(returned.value)
        return DONE


def call(invocation: Invocation) -> Any:
    """Call the method; what it returns may be a generator. Runs inside the message's context."""
    SCOPE.set(invocation)
    arguments = invocation.args
    keywords = invocation.kwargs
    invocation.args = ()
    function = invocation.method.function
    if invocation.meta is not None:
        function = arrived(invocation, function)
    if keywords:
        invocation.kwargs = None
        return function(invocation.cell.instance, *arguments, **keywords)
    return function(invocation.cell.instance, *arguments)


async def _await(awaitable: Awaitable[Any]) -> Any:
    """Make a coroutine of what a decorator returned instead of one."""
    return await awaitable


def drive(invocation: Invocation, work: Any, waits_for: Any) -> Wait:
    """Run a coroutine that waits for ``waits_for`` to its end.

    Args:
        invocation: gives the context and the actor.
        work: anything with ``send`` and ``throw``: a coroutine, or a step of an async generator.
        waits_for: what its last step yielded.

    Returns:
        The value it returned. Raises what it raised.
    """
    context = invocation.context
    assert context is not None
    step = context.run
    cell = invocation.cell
    error: BaseException | None = None
    while True:
        try:
            yield waits_for
        except GeneratorExit:
            step(work.close)
            raise
        except BaseException as given:  # noqa: BLE001  # belongs to the actor's code
            error = given
        while cell.exclusive:
            try:
                yield from cell.gate()
            except GeneratorExit:
                step(work.close)
                raise
            except BaseException as given:  # noqa: BLE001  # same
                error = given
        try:
            waits_for = step(work.send, None) if error is None else step(work.throw, error)
        except StopIteration as done:
            return done.value
        finally:
            error = None  # its traceback refers to this frame


def finish(invocation: Invocation, work: Any) -> Wait:
    """Run a coroutine or a step of an async generator from its beginning to its end."""
    cell = invocation.cell
    while cell.exclusive:
        yield from cell.gate()
    context = invocation.context
    assert context is not None
    try:
        waits_for = context.run(work.send, None)
    except StopIteration as done:
        return done.value
    return (yield from drive(invocation, work, waits_for))
