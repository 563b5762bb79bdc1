"""A name as the target of calls: each call picks one of the actors registered by it.

A call that certainly did not reach the instance it was sent to is sent to another one, each of
them once; a call that may have run is not repeated.
"""

from __future__ import annotations

from asyncio import _get_running_loop, sleep  # pyright: ignore[reportPrivateUsage]
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

from pulsing import clock
from pulsing.actor.call import DEFAULT_TIMEOUT, RAW_METHOD
from pulsing.actor.dead_letters import RECEIVE, lost_tell
from pulsing.actor.failover import can_be_sent_again, nothing_was_delivered
from pulsing.actor.remote_replies import RemoteTell
from pulsing.cluster.policies import choose
from pulsing.errors import ActorNotFound, ActorStopped, NodeUnreachable, PulsingRuntimeError

if TYPE_CHECKING:
    from pulsing.actor.call import Call, Items, Sent, Waiting
    from pulsing.actor.service import Instance, Service
    from pulsing.cluster.policies import Policy


class ServiceTarget:
    """A name as the target of calls; see `pulsing.actor.call.Target`."""

    __slots__ = ("policy", "service")

    def __init__(self, service: Service, policy: Policy) -> None:
        self.service = service
        self.policy = policy

    def pick(self, tried: Sequence[Instance] = ()) -> Instance | None:
        """The instance for a call, none of those that were tried; None when there is no other."""
        service = self.service
        instances = service.instances()
        if tried:
            ids = {each.actor_id for each in tried}
            instances = [each for each in instances if each.actor_id not in ids]
        if not instances:
            return None
        picked = service.last = choose(self.policy, instances, service.services.random)
        return picked

    def first(self) -> Instance:
        """The instance for a new call.

        Raises:
            ActorNotFound: there is none.
        """
        picked = self.pick()
        if picked is None:
            raise self.service.not_found()
        return picked

    # --- Target

    def start_ask(self, call: Call[Any]) -> ServiceReply:
        """See `Target.start_ask`."""
        instance = self.first()
        return ServiceReply(self, call, instance, instance.target.start_ask(call), is_get=False)

    def start_get(self, call: Call[Any]) -> ServiceReply:
        """See `Target.start_get`."""
        instance = self.first()
        return ServiceReply(self, call, instance, instance.target.start_get(call), is_get=True)

    def start_items(self, call: Call[Any]) -> ServiceItems:
        """See `Target.start_items`."""
        instance = self.first()
        return ServiceItems(self, call, instance, instance.target.start_items(call))

    def tell(self, method: str, args: Sequence[Any], kwargs: dict[str, Any] | None) -> ServiceTell:
        """See `Target.tell`."""
        return ServiceTell(self, method, args, kwargs)


class Attempts:
    """The instances one call was sent to in vain."""

    __slots__ = ("_errors", "_target", "tried")

    def __init__(self, target: ServiceTarget) -> None:
        self._target = target
        self.tried: list[Instance] = []
        self._errors: list[PulsingRuntimeError] = []

    def next(self, instance: Instance, error: PulsingRuntimeError) -> Instance:
        """The instance to try after one that failed.

        Raises:
            PulsingRuntimeError: all were tried; names them. Of one instance it is the error itself.
        """
        self.tried.append(instance)
        self._errors.append(error)
        service = self._target.service
        service.avoid(instance)
        following = self._target.pick(self.tried)
        if following is not None:
            return following
        if len(self.tried) == 1:
            raise error
        each = "; ".join(
            f"{instance.actor_id.node[:8]} at {instance.addr}: {error}"
            for instance, error in zip(self.tried, self._errors, strict=True)
        )
        gone = all(isinstance(error, ActorNotFound | ActorStopped) for error in self._errors)
        kind = ActorNotFound if gone else NodeUnreachable
        text = f"none of the {len(self.tried)} instances of {service.name!r} got the call: {each}"
        raise kind(text, error) from error


class ServiceReply:
    """The answer to a call that is awaited."""

    __slots__ = ("_call", "_instance", "_is_get", "_reply", "_target")

    def __init__(
        self,
        target: ServiceTarget,
        call: Call[Any],
        instance: Instance,
        reply: Waiting,
        *,
        is_get: bool,
    ) -> None:
        self._target = target
        self._call = call
        self._instance = instance
        self._reply = reply
        self._is_get = is_get

    @property
    def deadline(self) -> float | None:
        """See `Waiting.deadline`."""
        return self._reply.deadline

    def wait(self) -> Generator[Any, None, Any]:
        """Sleep until an instance has answered, and give its answer, or raise its error."""
        instance = self._instance
        attempts: Attempts | None = None
        while True:
            instance.in_flight += 1
            try:
                return (yield from self._reply.wait())
            except PulsingRuntimeError as error:
                call = self._call
                if not nothing_was_delivered(error) or not _repeatable(call, error):
                    raise
                if attempts is None:
                    attempts = Attempts(self._target)
                following = attempts.next(instance, error)
            finally:
                instance.in_flight -= 1
            instance = following
            _shorten(call, self._reply.deadline)
            target = instance.target
            self._reply = target.start_get(call) if self._is_get else target.start_ask(call)

    __await__ = wait


def _repeatable(call: Call[Any], error: PulsingRuntimeError) -> bool:
    kwargs = call.kwargs
    values = call.args if kwargs is None else (*call.args, *kwargs.values())
    return can_be_sent_again(values, error)


def _shorten(call: Call[Any], deadline: float | None) -> None:
    """What is left of the time of the first attempt is the time of the next."""
    call.timeout = None if deadline is None else max(0.0, deadline - clock.monotonic())


class ServiceItems:
    """A stream of one instance. Until the first item has come it can be another one's."""

    __slots__ = ("__weakref__", "_attempts", "_begun", "_call", "_instance", "_items", "_target",
                 "_until")  # fmt: skip

    def __init__(
        self, target: ServiceTarget, call: Call[Any], instance: Instance, items: Items
    ) -> None:
        self._target = target
        self._call = call
        self._items = items
        self._attempts: Attempts | None = None
        self._begun = False
        timeout = call.timeout
        self._until: float | None = None
        if timeout is not None and timeout is not DEFAULT_TIMEOUT:
            self._until = clock.monotonic() + timeout
        self._instance: Instance | None = instance
        instance.in_flight += 1

    def __aiter__(self) -> ServiceItems:
        return self

    async def __anext__(self) -> Any:
        while True:
            try:
                item = await self._items.__anext__()
            except PulsingRuntimeError as error:
                if self._begun or not self._fail_over(error):
                    self._release()
                    raise
            except RuntimeError:
                raise  # two consumers: the other one goes on
            except BaseException:
                self._release()
                raise
            else:
                self._begun = True
                return item

    def _fail_over(self, error: PulsingRuntimeError) -> bool:
        """Begin with another instance. Raises when there is none."""
        instance, call = self._instance, self._call
        if instance is None or not nothing_was_delivered(error) or not _repeatable(call, error):
            return False
        if self._attempts is None:
            self._attempts = Attempts(self._target)
        following = self._attempts.next(instance, error)
        if self._until is not None:
            _shorten(call, self._until)
        items = following.target.start_items(call)
        self._release()
        self._instance, self._items = following, items
        following.in_flight += 1
        return True

    def _release(self) -> None:
        instance, self._instance = self._instance, None
        if instance is not None:
            instance.in_flight -= 1

    async def aclose(self) -> None:
        """Take no more items."""
        self._release()
        await self._items.aclose()

    def __del__(self) -> None:
        self._release()


class ServiceTell:
    """A message to one instance, or the next; nobody has to wait for it."""

    __slots__ = ("_args", "_attempts", "_instance", "_kwargs", "_method", "_sent", "_target")

    def __init__(
        self,
        target: ServiceTarget,
        method: str,
        args: Sequence[Any],
        kwargs: dict[str, Any] | None,
    ) -> None:
        self._target = target
        self._method = method
        self._args = args
        self._kwargs = kwargs
        self._attempts: Attempts | None = None
        self._instance: Instance | None = None
        self._sent: Sent | None = None
        loop = target.service.services.system.loop
        if _get_running_loop() is loop:
            self._send(target.first())
        else:
            loop.call_soon_threadsafe(self._send_late)

    def _send(self, instance: Instance) -> None:
        sent = instance.target.tell(self._method, self._args, self._kwargs)
        self._instance = instance
        self._sent = sent
        if isinstance(sent, RemoteTell):
            sent.on_failed = self._failed

    def _send_late(self) -> None:
        """A tell from a worker thread."""
        try:
            self._send(self._target.first())
        except PulsingRuntimeError as error:
            self._lost(error)

    def _failed(self, error: BaseException) -> BaseException | None:
        """The message did not arrive: None when it is on its way to another instance now."""
        if not isinstance(error, PulsingRuntimeError) or not nothing_was_delivered(error):
            return error
        assert self._instance is not None
        if self._attempts is None:
            self._attempts = Attempts(self._target)
        try:
            self._send(self._attempts.next(self._instance, error))
        except PulsingRuntimeError as last:
            return last
        return None

    def _lost(self, error: PulsingRuntimeError) -> None:
        service = self._target.service
        method = RECEIVE if self._method == RAW_METHOD else self._method
        lost_tell(service.services.system.dispatcher, error, target=service.name, method=method)

    def __await__(self) -> Generator[Any, None, None]:
        while self._sent is None:
            yield from sleep(0).__await__()
        while True:
            sent = self._sent
            try:
                yield from sent.__await__()
            except PulsingRuntimeError as error:
                if self._sent is not sent:
                    continue  # `_failed` was called, and sent it elsewhere
                last = error if isinstance(sent, RemoteTell) else self._failed(error)
                if last is not None:
                    raise last from None
            else:
                return
