"""What an actor says about itself to those who hold a reference: its class and its methods.

It travels as a plain dict. Everything in it comes from a peer and is only ever shown, never run.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias, cast

from pulsing.actor.methods import MethodKind, MethodTable
from pulsing.errors import WireError
from pulsing.ids import ActorId

_MAX_SIGNATURE_CHARS: Final = 4096
_MOST_RETRIES: Final = 100


class MethodFacts(Protocol):
    """What a handle shows of a method: of one in this process, or of a described one."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> MethodKind: ...
    @property
    def signature(self) -> inspect.Signature: ...
    @property
    def doc(self) -> str: ...
    @property
    def retries(self) -> int: ...


@dataclass(frozen=True, slots=True)
class DescribedMethod:
    """One method, as its actor describes it."""

    name: str
    kind: MethodKind
    signature_text: str
    doc: str
    retries: int = 0

    @property
    def signature(self) -> inspect.Signature:
        """The signature; annotations and defaults are their source text."""
        return parse_signature(self.signature_text)


@dataclass(frozen=True, slots=True)
class ActorDescription:
    """One actor, as it describes itself.

    Attributes:
        actor_id: its exact identity.
        class_name: module and qualified name of its class, for display.
        methods: what can be called, by name.
        attributes: what can be read, as far as it knows.
        receives: it takes raw messages (``ask``, ``tell``).
        metadata: what its ``metadata`` hook said.
    """

    actor_id: ActorId
    class_name: str
    methods: Mapping[str, DescribedMethod]
    attributes: frozenset[str]
    receives: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all methods, sorted."""
        return tuple(sorted(self.methods))

    def get(self, name: str, /) -> DescribedMethod | None:
        """The method of a name, or None."""
        return self.methods.get(name)

    @classmethod
    def from_dict(cls, data: object) -> ActorDescription:
        """Read what `describe_actor` made.

        Raises:
            WireError: it is not such a description.
        """
        try:
            facts = cast("Mapping[str, Any]", data)
            methods = [
                DescribedMethod(
                    str(name), MethodKind(kind), str(signature), str(doc), _retries(more)
                )
                for name, kind, signature, doc, *more in facts["methods"]
            ]
            return cls(
                actor_id=ActorId.parse(facts["actor_id"]),
                class_name=str(facts["class"]),
                methods={each.name: each for each in methods},
                attributes=frozenset(map(str, facts["attributes"])),
                receives=bool(facts["receives"]),
                metadata={str(key): str(text) for key, text in dict(facts["metadata"]).items()},
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise WireError("the peer sent an actor description that makes no sense", error) from (
                error
            )


Offer: TypeAlias = MethodTable | ActorDescription
"""What is known of an actor's class."""


def describe_actor(
    actor_id: ActorId, table: MethodTable, metadata: Mapping[str, str]
) -> dict[str, Any]:
    """The description of an actor, ready to travel."""
    owner = table.owner
    return {
        "actor_id": str(actor_id),
        "class": f"{owner.__module__}.{owner.__qualname__}",
        "methods": [
            [each.name, each.kind.value, each.signature_text, each.doc, each.retries]
            for each in table.methods
        ],
        "attributes": sorted(table.attributes),
        "receives": table.receive is not None,
        "metadata": dict(metadata),
    }


def _retries(more: list[Any]) -> int:
    return min(max(0, int(more[0])), _MOST_RETRIES) if more else 0


# --- signatures ---------------------------------------------------------------------------------


class _Source:
    """A default value that is known as source text only."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


class _Annotation(str):
    """An annotation as source text; shown without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


UNKNOWN_SIGNATURE: Final = inspect.Signature(
    [
        inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL),
        inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD),
    ]
)


def parse_signature(text: str) -> inspect.Signature:
    """The signature in the text of a peer. It is parsed, nothing in it is evaluated.

    Returns:
        ``(*args, **kwargs)`` for a text that is no Python.
    """
    try:
        if len(text) > _MAX_SIGNATURE_CHARS:
            return UNKNOWN_SIGNATURE
        (definition,) = ast.parse(f"def f{text}: ...").body  # more than one: ValueError
        assert isinstance(definition, ast.FunctionDef)
        return inspect.Signature(
            _parameters(definition.args), return_annotation=_annotation(definition.returns)
        )
    except (SyntaxError, ValueError, RecursionError, MemoryError, AssertionError):
        return UNKNOWN_SIGNATURE


def _parameters(args: ast.arguments) -> list[inspect.Parameter]:
    positional = [*args.posonlyargs, *args.args]
    missing: list[ast.expr | None] = [None] * (len(positional) - len(args.defaults))
    defaults = [*missing, *args.defaults]
    kinds: list[Any] = [inspect.Parameter.POSITIONAL_ONLY] * len(args.posonlyargs)
    kinds += [inspect.Parameter.POSITIONAL_OR_KEYWORD] * len(args.args)
    found = [_parameter(*each) for each in zip(positional, kinds, defaults, strict=True)]
    if args.vararg:
        found.append(_parameter(args.vararg, inspect.Parameter.VAR_POSITIONAL, None))
    for each, default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        found.append(_parameter(each, inspect.Parameter.KEYWORD_ONLY, default))
    if args.kwarg:
        found.append(_parameter(args.kwarg, inspect.Parameter.VAR_KEYWORD, None))
    return found


def _parameter(arg: ast.arg, kind: Any, default: ast.expr | None) -> inspect.Parameter:
    shown = inspect.Parameter.empty if default is None else _Source(ast.unparse(default))
    return inspect.Parameter(arg.arg, kind, default=shown, annotation=_annotation(arg.annotation))


def _annotation(expression: ast.expr | None) -> Any:
    if expression is None:
        return inspect.Signature.empty
    if isinstance(expression, ast.Constant) and isinstance(expression.value, str):
        return _Annotation(expression.value)
    return _Annotation(ast.unparse(expression))
