"""What it means for an actor to fail: the part of a cell that asks its keeper, if it has one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pulsing.actor.exit_reason import ExitReason
from pulsing.actor.failing import fails_actor, is_fatal
from pulsing.actor.lifecycle import CellState
from pulsing.actor.options import ActorOptions
from pulsing.actor.restart_policy import RestartPolicy

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from pulsing.actor.cell import Cell
    from pulsing.actor.dispatcher import Dispatcher
    from pulsing.actor.keeping import Keeper


def as_child_of(parent: Cell | None, options: ActorOptions, *, can_restart: bool) -> ActorOptions:
    """The options of an actor; under a parent that supervises, the default is to be restarted."""
    if parent is None or parent.options.supervisor is None or options.restart_policy is not None:
        return options
    policy = RestartPolicy.ON_FAILURE if can_restart else RestartPolicy.NEVER
    return options.updated(ActorOptions(restart_policy=policy))


def check_factory(
    options: ActorOptions, factory: Callable[[], Any] | None, owner: type
) -> ActorOptions:
    """The options of a ready object.

    Raises:
        ValueError: it is to be restarted, and nothing is known that makes another object.
    """
    if options.restarts and factory is None:
        assert options.restart_policy is not None
        raise ValueError(
            f"this {owner.__name__} is an instance already, so it cannot be made again for "
            f"restart_policy={options.restart_policy.value!r}; spawn the class with its arguments, "
            "or give a factory="
        )
    return options


class Kept:
    """The part of a `Cell` that fails, and may be restarted.

    Attributes:
        keeper: restarts it; None: nobody does.
    """

    if not TYPE_CHECKING:
        __slots__ = ()  # those of the cell hold the attributes

    if TYPE_CHECKING:
        keeper: Keeper | None
        dispatcher: Dispatcher
        state: CellState

        def stop(
            self,
            *,
            grace_s: float = 0.0,
            reason: ExitReason = ExitReason.NORMAL,
            error: BaseException | None = None,
        ) -> asyncio.Future[None]: ...

    def falls_with(self, error: BaseException) -> bool:
        """Whether the actor fails with what its code raised. Callable in any thread."""
        return is_fatal(error) if self.keeper is None else fails_actor(error)

    def crash(self, reason: ExitReason, error: BaseException | None = None) -> None:
        """The actor has failed. It is restarted if its policy says so, otherwise stopped.

        Nothing happens to one that is being stopped or restarted already.

        Args:
            reason: what its watchers hear if it is stopped.
            error: what went wrong; ``on_restart`` gets it, and watchers its text.
        """
        if self.state not in _ALIVE:
            return
        keeper = self.keeper
        fatal = error is not None and is_fatal(error)
        if keeper is not None and keeper.may_restart(reason) and not fatal:
            keeper.failed(reason, error)
        else:
            self.stop(reason=reason, error=error)

    def finish(self, *, grace_s: float = 0.0) -> None:
        """The actor ends itself. Under the policy ``always`` it is restarted.

        Args:
            grace_s: as for `Cell.stop`. At a restart the messages that wait are kept; those that
                run may still finish.
        """
        keeper = self.keeper
        if keeper is not None and keeper.may_restart(ExitReason.NORMAL):
            keeper.failed(ExitReason.NORMAL, None, grace_s)
        else:
            self.stop(grace_s=grace_s)


_ALIVE: Final = frozenset({CellState.STARTING, CellState.RUNNING})
