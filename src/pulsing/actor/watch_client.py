"""The watches on actors of other nodes: one `NodeWatch` for each node, the shell of `WatchCore`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from pulsing.actor.call import Call
from pulsing.actor.exit_reason import ExitReason
from pulsing.actor.steward import NODE_ACTOR
from pulsing.actor.watch_core import WatchCore
from pulsing.actor.watch_terms import (
    CloseSession,
    DeadlineReached,
    End,
    EndsHeard,
    Loss,
    OpenSession,
    Orders,
    OrdersDone,
    SendOrders,
    SessionEnded,
    SessionOpened,
    Stimulus,
    TellEnds,
    TellPlaced,
)
from pulsing.errors import (
    ConnectionLost,
    NodeUnreachable,
    NotAuthenticated,
    ProtocolMismatch,
    PulsingError,
    WireError,
)

if TYPE_CHECKING:
    from pulsing.actor.system import ActorSystem
    from pulsing.actor.watch_terms import Effect

OPEN_S: Final = 5.0
"""For as long a node may take to open a session."""
ORDERS_S: Final = 10.0
"""For as long it may take to carry out a batch of orders."""
GIVE_UP_S: Final = 10.0
"""Without a cluster: a node that cannot be asked for as long is down."""


class NodeWatch:
    """The watches of this node on the actors of one other node.

    Args:
        system: this node.
        node_id: of the other.
        tell_ends: hears which actors have ended.
        tell_placed: hears which watches are in place.

    Attributes:
        addr: where the other listens.
        core: decides.
    """

    def __init__(
        self,
        system: ActorSystem,
        node_id: str,
        addr: str,
        tell_ends: Callable[[str, Sequence[End]], None],
        tell_placed: Callable[[str, Sequence[int]], None],
    ) -> None:
        self._system = system
        self._node_id = node_id
        self.addr = addr
        self.core = WatchCore(give_up_s=GIVE_UP_S)
        self._tell_ends = tell_ends
        self._tell_placed = tell_placed
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def feed(self, stimulus: Stimulus) -> None:
        """Let the core decide, and do what it says."""
        loop = self._system.loop
        for effect in self.core.handle(stimulus, now=loop.time()):
            self._do(effect)
        deadline = self.core.next_deadline()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer = loop.call_at(deadline, self._fire)

    def close(self) -> None:
        """Watch nothing any more, and tell nobody."""
        self._end_tasks()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        self._timer = None
        self.feed(DeadlineReached())

    def _do(self, effect: Effect) -> None:
        match effect:
            case OpenSession():
                self._begin(self._session(), "watch")
            case CloseSession():
                self._end_tasks()
            case SendOrders(session, orders):
                self._begin(self._order(session, orders), "watch-orders")
            case TellEnds(ends):
                self._tell_ends(self._node_id, ends)
            case TellPlaced(locals_):
                self._tell_placed(self._node_id, locals_)

    # --- tasks

    def _begin(self, work: Any, name: str) -> None:
        # Neither the deadline nor the other context of whoever caused it.
        dispatcher = self._system.dispatcher
        task: asyncio.Task[None] = dispatcher.context.copy().run(
            lambda: dispatcher.keep(work, name=f"pulsing-{name}-{self._node_id[:8]}")
        )
        self._tasks[task] = None
        task.add_done_callback(lambda ended: self._tasks.pop(ended, None))

    def _end_tasks(self) -> None:
        tasks, self._tasks = self._tasks, {}
        for task in tasks:
            task.cancel()

    def _lost(self, loss: Loss) -> None:
        """There is no session. Called by the task that found out, unless it was ended before."""
        task = asyncio.current_task()
        if task not in self._tasks:
            return
        self._tasks.pop(task, None)
        self._end_tasks()
        if not self._system.is_closed:
            self.feed(SessionEnded(loss, self._system.watching.is_guarded(self._node_id)))

    def _call(self, method: str, *args: Any) -> Call[Any]:
        target = self._system.remote_target(self.addr, NODE_ACTOR)
        call: Call[Any] = Call(target, method, args, None)
        return call.with_timeout(None)

    async def _session(self) -> None:
        loss = Loss.CLOSED
        system = self._system
        try:
            system.network().hurry(self.addr)  # the core makes pauses of its own
            items = aiter(
                self._call("watched", self._node_id, system.node_id, system.reachable_addr)
            )
            async with asyncio.timeout(OPEN_S):
                number = await anext(items, None)
            if number is None:
                loss = Loss.FOREIGN
            else:
                self.feed(SessionOpened(_number(number)))
                async for ends in items:
                    self.feed(EndsHeard(_ends(ends)))
        except (PulsingError, TimeoutError) as error:
            loss = _loss_of(error)
        self._lost(loss)

    async def _order(self, session: int, orders: Orders) -> None:
        call = self._call(
            "watch_orders",
            session,
            list(orders.watch),
            list(orders.again),
            list(orders.drop),
            [list(pair) for pair in orders.link],
            [list(pair) for pair in orders.unlink],
        )
        try:
            missing = _ends(await call.with_timeout(ORDERS_S))
        except (PulsingError, TimeoutError):
            self._lost(Loss.LOST)
        else:
            if asyncio.current_task() in self._tasks:
                self.feed(OrdersDone(missing))


def _loss_of(error: BaseException) -> Loss:
    if isinstance(error, ConnectionLost):
        return Loss.LOST
    if isinstance(error, NotAuthenticated | ProtocolMismatch):
        return Loss.FOREIGN
    if isinstance(error, NodeUnreachable) and isinstance(error.cause, ConnectionRefusedError):
        return Loss.REFUSED
    return Loss.UNREACHABLE


def _number(value: object) -> int:
    if type(value) is not int:
        raise WireError("a node opened a watch session without a number")
    return value


_REASONS: Final = {each.value: each for each in ExitReason}


def _ends(value: object) -> tuple[End, ...]:
    """What a node tells of actors that have ended. Raises WireError when it makes no sense."""
    if not isinstance(value, list):
        raise WireError("a node told of ended actors what makes no sense")
    return tuple(map(_end, cast("list[object]", value)))


def _end(value: object) -> End:
    match value:
        case [int(local), str(reason), str() | None as error] if reason in _REASONS:
            return End(local, _REASONS[reason], error)
        case _:
            raise WireError("a node told of an ended actor what makes no sense")
