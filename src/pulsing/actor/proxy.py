"""Proxies: objects that look like the actor's class and whose methods are calls.

A proxy has no public attributes of its own in its class, so that methods of the actor win over
them: ``ask``, ``tell``, ``sync``, ``ref`` and the others in `_OWN` are found last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, Self, TypeVar

from pulsing.actor.handles import AnyHandle, AttributeHandle, MethodHandle, StreamHandle
from pulsing.actor.methods import MethodTable
from pulsing.actor.place import Place, Reference, place_of
from pulsing.actor.refs import ActorRef

if TYPE_CHECKING:
    from pulsing.actor.call import Call, Tell
    from pulsing.actor.sync import SyncProxy
    from pulsing.ids import ActorId

T = TypeVar("T")


class ActorProxy(Reference, Generic[T]):
    """Stands for an actor: its methods are called here and run there.

    ``await proxy.method(...)`` asks, ``proxy.method.tell(...)`` tells, ``async for`` streams,
    ``await proxy.attribute`` reads. A typed proxy has the names of its class and refuses others;
    one made by ``as_any()`` has every public name. Where the actor has no method of that name:
    ``ref``, ``actor_id``, ``as_any``, ``as_type``, ``with_key``, ``ask``, ``tell`` and ``sync``.
    """

    __slots__ = ("__dict__", "_table")

    _table: MethodTable | None

    def __init__(self, place: Place, table: MethodTable | None) -> None:
        super().__init__(place)
        object.__setattr__(self, "_table", table)

    if TYPE_CHECKING:

        @property
        def ref(self) -> ActorRef: ...
        @property
        def actor_id(self) -> ActorId: ...
        @property
        def sync(self) -> SyncProxy: ...
        def as_any(self) -> ActorProxy[Any]: ...
        def as_type(self, cls: type[Any]) -> Any: ...
        def with_key(self, key: str) -> Self: ...
        def ask(self, msg: Any) -> Call[Any]: ...
        def tell(self, msg: Any) -> Tell: ...

        def __getattr__(self, name: str) -> Any: ...
    else:

        def __getattr__(self, name):
            if name[:1] == "_":
                raise AttributeError(
                    f"{self!r} has no {name!r}; names with a leading underscore are private to "
                    "the actor"
                )
            table = self._table
            handle = self._untyped(name) if table is None else self._typed(name, table)
            if isinstance(handle, Found):
                return handle.value
            self.__dict__[name] = handle
            return handle

    def _typed(self, name: str, table: MethodTable) -> Any:
        method = table.get(name)
        if method is not None:
            if method.kind.streams:
                streaming: StreamHandle[..., Any] = StreamHandle(self._place, name, method)
                return streaming
            handle: MethodHandle[..., Any] = MethodHandle(self._place, name, method)
            return handle
        own = _OWN.get(name)
        if own is not None:
            return Found(own(self))
        if name in table.attributes:
            return AttributeHandle(self._place, name, None)
        raise AttributeError(_no_method(name, table))

    def _untyped(self, name: str) -> Any:
        offer = self._place.offer
        facts = offer.get(name) if offer is not None else None
        own = _OWN.get(name)
        if facts is None and own is not None:
            return Found(own(self))
        return AnyHandle(self._place, name, facts)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(
            f"{name!r} of {self!r} cannot be set from outside; give the actor a method for it"
        )

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{name!r} of {self!r} cannot be deleted from outside")

    def __dir__(self) -> list[str]:
        offer = self._table or self._place.offer
        names = () if offer is None else (*offer.names, *offer.attributes)
        return sorted({*names, *_OWN})

    def __repr__(self) -> str:
        kind = self._table.owner.__name__ if self._table is not None else self._place.class_name
        return f"<{kind} proxy of {self._place.label}>"


class Found:
    """An own member of a proxy: given as it is and not kept."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def typed_proxy(place: Place, cls: type[Any]) -> Any:
    """A proxy with the methods of a class.

    Raises:
        TypeError: not a class.
    """
    if not isinstance(cls, type):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"a typed proxy needs a class, not {cls!r}")
    proxy: ActorProxy[Any] = ActorProxy(place, MethodTable.of(cls))
    return proxy


def class_of_proxy(proxy: ActorProxy[Any]) -> type[Any] | None:
    """The class of a typed proxy, or None."""
    table = proxy._table  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    return None if table is None else table.owner


def _no_method(name: str, table: MethodTable) -> str:
    import difflib

    names = table.names
    close = difflib.get_close_matches(name, [*names, *table.attributes], 1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    has = f"it has: {', '.join(names)}" if names else "it has no methods"
    return f"No method {name!r} on {table.owner.__name__}; {has}.{hint}"


def _ref(proxy: ActorProxy[Any]) -> ActorRef:
    return ActorRef(place_of(proxy))


def _sync(proxy: ActorProxy[Any]) -> Any:
    from pulsing.actor.sync import SyncProxy

    return SyncProxy(proxy)


def _with_key(proxy: ActorProxy[Any]) -> Callable[[str], ActorProxy[Any]]:
    table = proxy._table  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    return lambda key: ActorProxy(place_of(proxy).with_key(key), table)


_OWN: Final[Mapping[str, Callable[[ActorProxy[Any]], Any]]] = {
    "actor_id": lambda proxy: place_of(proxy).actor_id,
    "as_any": lambda proxy: _ref(proxy).as_any,
    "as_type": lambda proxy: _ref(proxy).as_type,
    "ask": lambda proxy: _ref(proxy).ask,
    "ref": _ref,
    "sync": _sync,
    "tell": lambda proxy: _ref(proxy).tell,
    "with_key": _with_key,
}
