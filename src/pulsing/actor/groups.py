"""``pul.group``: several actors addressed together, with an outcome for each of them.

Nothing here is a promise about all or nothing: each member answers or fails on its own, and the
results say which did what.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast

from pulsing import chance
from pulsing.actor.attributes import BARRIER
from pulsing.actor.call import Call
from pulsing.actor.deadline import check_timeout
from pulsing.actor.group_results import GroupFailed, Outcome, Results
from pulsing.actor.place import Place, Reference, place_of
from pulsing.actor.proxy import ActorProxy, class_of_proxy, typed_proxy
from pulsing.actor.reply import Reply
from pulsing.cluster.policies import RendezvousHash
from pulsing.errors import ActorNotFound, PulsingError, PulsingRuntimeError
from pulsing.ids import ActorId, canonical_name

if TYPE_CHECKING:
    from pulsing.actor.call import Sent, Waiting
    from pulsing.actor.system import ActorSystem
    from pulsing.cluster.members import Registration

M = TypeVar("M")

What = str | Callable[[Any], Any]
"""The name of a method; or what makes a call of a member, as ``lambda member: member.ask(1)``."""


class Broadcast(Generic[M]):
    """Messages that were sent. Await it for what became of them, or ignore it."""

    __slots__ = ("_sent",)

    def __init__(self, sent: list[tuple[M, Sent | None, Exception | None]]) -> None:
        self._sent = sent

    def __await__(self) -> Generator[Any, None, Results[M]]:
        outcomes: list[Outcome[M]] = []
        for member, sent, error in self._sent:
            if sent is not None:
                try:
                    yield from sent.__await__()
                except PulsingError as failed:
                    error = failed  # noqa: PLW2901
            outcomes.append(Outcome(member, None, error))
        return Results(outcomes)


class Group(Generic[M]):
    """Several actors. Made by `pulsing.group`.

    Each operation goes to the members of that moment: of a name, to the actors that are registered
    by it then. ``what`` is the name of a method, with its arguments; or a function that is given a
    proxy and makes the call, such as ``lambda member: member.ask("now")``, which type checkers
    understand.
    """

    __slots__ = ("_cls", "_found", "_members", "_name", "_registered", "_system", "_timeout")

    def __init__(
        self,
        members: Iterable[Reference] | str,
        *,
        cls: type[Any] | None,
        system: ActorSystem | None,
    ) -> None:
        self._cls = cls
        self._timeout: float | None = None
        self._registered: Sequence[Registration] = ()
        self._found: list[Any] = []
        self._members: list[Any] | None = None
        self._name = ""
        self._system = system
        if isinstance(members, str):
            self._name = canonical_name(members)
            if system is None:
                from pulsing.actor.api import default_system

                self._system = default_system()
        else:
            self._members = [_proxy(place_of(each), cls, each) for each in members]

    def with_timeout(self, seconds: float | None) -> Self:
        """The same actors, for calls that take no longer. Default: as all calls of the system.

        Raises:
            ValueError: negative, or not a number.
        """
        group = copy.copy(self)
        group._timeout = check_timeout(seconds)  # noqa: SLF001 - its own
        return group

    @property
    def members(self) -> list[M]:
        """The actors of this moment: proxies, in a fixed order."""
        if self._members is not None:
            return self._members
        system = self._system
        assert system is not None
        cluster = system.cluster
        if cluster is None:
            cell = system.named(self._name)
            return [] if cell is None else [_proxy(system.place(cell), self._cls)]
        registered = cluster.lookup(self._name)
        if registered is not self._registered:
            places = [_place(system, each) for each in registered]
            self._found = [_proxy(each, self._cls) for each in places if each is not None]
            self._registered = registered
        return self._found

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[M]:
        return iter(self.members)

    def __repr__(self) -> str:
        return f"<Group {self._name or len(self)}>"

    # --- what it does

    def broadcast(self, what: What, /, *args: Any, **kwargs: Any) -> Broadcast[M]:
        """Tell all members, now. Await it to know that every mailbox took the message.

        What the actors' code raises is not told to anybody, as for every tell.

        Args:
            what: see `Group`; a function has to make a tell, as ``lambda m: m.log.tell(1)``.
            args: for the method.
            kwargs: for the method.
        """
        sent: list[tuple[M, Sent | None, Exception | None]] = []
        for member in self.members:
            try:
                if isinstance(what, str):
                    target = place_of(member).target  # type: ignore[arg-type]
                    each: Sent = target.tell(what, args, kwargs or None)
                else:
                    each = what(member)
            except PulsingError as error:
                sent.append((member, None, error))
            else:
                sent.append((member, each, None))
        return Broadcast(sent)

    async def gather(self, what: What, /, *args: Any, **kwargs: Any) -> Results[M]:
        """Ask all members at once, and wait for all of them.

        Cancellation: cancels all calls.
        """
        return await self._ask(
            [(member, None, self._call(member, what, args, kwargs)) for member in self.members]
        )

    async def first(self, what: What, /, *args: Any, **kwargs: Any) -> Any:
        """Ask all members at once; give the first answer, and cancel the other calls.

        Raises:
            GroupFailed: none answered; has the error of each.
            ActorNotFound: there are no members.
        """
        members = self.members
        if not members:
            raise ActorNotFound(f"{self!r} has no members to ask")
        calls = [self._call(member, what, args, kwargs) for member in members]
        tasks = [asyncio.ensure_future(each) for each in calls]
        left = set(tasks)
        try:
            while left:
                done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    if task in done and not task.cancelled() and task.exception() is None:
                        return task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        failed = zip(members, tasks, strict=True)
        raise GroupFailed(Results(Outcome(member, None, _failure(task)) for member, task in failed))

    async def scatter(self, what: What, items: Mapping[Any, Any], /) -> Results[M]:
        """Call ``what(key, value)`` for each item, of the member that its key belongs to.

        A key belongs always to the same member, for a name that which ``with_key(str(key))`` gives.
        When a member comes or goes, only the keys that it wins or had move.

        Args:
            what: the name of a method that takes a key and a value; or a function that is given
                the member, the key and the value.
            items: values by key.

        Raises:
            ActorNotFound: there are no members.
        """
        owned = self.share(items)
        return await self._ask(
            [
                (member, key, self._call(member, what, (key, items[key]), {}))
                for member, keys in owned
                for key in keys
            ]
        )

    def share(self, keys: Iterable[Any]) -> list[tuple[M, list[Any]]]:
        """Which keys belong to which member; members without any are left out.

        Raises:
            ActorNotFound: there are keys and no members.
        """
        members = self.members
        candidates = [_Candidate(member, is_instance=bool(self._name)) for member in members]
        dice = chance.dice()
        for key in keys:
            if not candidates:
                raise ActorNotFound(f"{self!r} has no members for {key!r}")
            policy = RendezvousHash(str(key), load_factor=None)
            owner: _Candidate = policy.pick(cast("Any", candidates), dice)
            owner.keys.append(key)
        return [(each.member, each.keys) for each in candidates if each.keys]

    async def barrier(self) -> Results[M]:
        """Wait until every member is through with all that was sent to it before.

        That is what came from here, in whatever way, and what others sent and arrived earlier.
        """
        return await self._ask(
            [
                (member, None, self._limited(Call.get(place_of(member).target, BARRIER)))  # type: ignore[arg-type]
                for member in self.members
            ]
        )

    # --- inside

    def _call(
        self, member: M, what: What, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> Call[Any]:
        if isinstance(what, str):
            return self._limited(getattr(member, what)(*args, **kwargs))
        return self._limited(what(member, *args))

    def _limited(self, call: Any) -> Call[Any]:
        if self._timeout is not None and isinstance(call, Call):
            return call.with_timeout(self._timeout)  # pyright: ignore[reportUnknownVariableType]
        return call  # type: ignore[no-any-return]

    async def _ask(self, calls: list[tuple[M, Any, Call[Any]]]) -> Results[M]:
        waiting = [(member, key, _started(call)) for member, key, call in calls]
        outcomes: list[Outcome[M]] = []
        try:
            for member, key, each in waiting:
                value, error = None, None
                try:
                    if not isinstance(each, Exception):
                        value = await each
                    else:
                        error = each
                except Exception as failed:  # noqa: BLE001 - whatever the actor raised
                    error = failed
                outcomes.append(Outcome(member, value, error, key))
        finally:
            for _, _, each in waiting[len(outcomes) :]:
                if isinstance(each, asyncio.Future):
                    each.cancel()
                elif isinstance(each, Reply):
                    each.abandon()
        return Results(outcomes)


def group(
    members: Iterable[Reference] | str,
    *,
    cls: type[Any] | None = None,
    system: ActorSystem | None = None,
) -> Group[Any]:
    """Several actors, to be told and asked together.

    Args:
        members: references or proxies; or a name: all actors of the cluster registered by it, at
            the moment of each operation.
        cls: the class of the actors, for typed proxies.
        system: for a name: where to look; default: the actor's own or the process's.

    Raises:
        ValueError: ``members`` is no actor name.
        PulsingRuntimeError: a name, and there is no system.
    """
    return Group(members, cls=cls, system=system)


class _Candidate:
    """A member, as a policy sees it."""

    __slots__ = ("in_flight", "keys", "member", "node_id")

    def __init__(self, member: Any, *, is_instance: bool) -> None:
        self.member = member
        self.keys: list[Any] = []
        self.in_flight = 0
        actor_id = place_of(member).actor_id
        # Of a name there is one on each node; other groups may have several there.
        self.node_id = actor_id.node if is_instance else str(actor_id)


def _proxy(place: Place, cls: type[Any] | None, given: Reference | None = None) -> Any:
    as_it_is: Any = given
    if isinstance(given, ActorProxy) and cls in (None, class_of_proxy(as_it_is)):
        return as_it_is
    untyped: ActorProxy[Any] = ActorProxy(place, None)
    return untyped if cls is None else typed_proxy(place, cls)


def _place(system: ActorSystem, registration: Registration) -> Place | None:
    actor_id = ActorId(registration.node_id, registration.local)
    class_name = registration.class_name
    try:
        return system.arrived(actor_id, name=None, host_port=None, class_name=class_name)
    except PulsingRuntimeError:
        return None  # its node has just gone


def _started(call: Any) -> Any:
    """Send a call. Gives what waits for its answer, or the error that prevented it."""
    if not isinstance(call, Call):
        return asyncio.ensure_future(call)
    try:
        waiting: Waiting = call.start()
    except PulsingError as error:
        return error
    return waiting if isinstance(waiting, Reply) else asyncio.ensure_future(_wait(waiting))


async def _wait(waiting: Any) -> Any:
    return await waiting


def _failure(task: asyncio.Future[Any]) -> Exception:
    error = task.exception() if not task.cancelled() else None
    return error if isinstance(error, Exception) else PulsingRuntimeError("the call was cancelled")


__all__ = ["Broadcast", "Group", "GroupFailed", "Outcome", "Results", "group"]
