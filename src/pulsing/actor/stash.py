"""Messages that an actor has put aside until it can deal with them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from pulsing.actor.invocation import RUNNING, STASHED, Invocation
from pulsing.errors import MailboxFull

if TYPE_CHECKING:
    from pulsing.actor.cell import Cell

STASH_SIZE: Final = 1000
"""Messages an actor may put aside at a time."""


class Postponed(Exception):
    """Leaves the code of a message that was put aside: there is no answer yet."""


class Stash:
    """What one actor has put aside, in order. Their callers wait, and their deadlines run."""

    __slots__ = ("_cell", "_messages", "_size")

    def __init__(self, cell: Cell, size: int = STASH_SIZE) -> None:
        self._cell = cell
        self._size = size
        self._messages: deque[Invocation] = deque()

    def __len__(self) -> int:
        return len(self._messages)

    def check_room(self) -> None:
        """Raises MailboxFull when nothing more can be put aside."""
        if len(self._messages) < self._size:
            return
        self._forget_ended()
        if len(self._messages) >= self._size:
            raise MailboxFull(
                f"the stash of {self._cell.label} is full ({self._size} messages); unstash_all "
                "before, or refuse messages while they cannot be handled"
            )

    def put(self, invocation: Invocation, args: tuple[Any, ...]) -> bool:
        """Put the message aside that runs now, which then has to raise `Postponed`.

        Returns:
            False when its caller is gone: then there is nothing to keep.
        """
        if invocation.stage is not RUNNING:
            return False
        invocation.put_aside(args)
        self._messages.append(invocation)
        return True

    def take(self) -> deque[Invocation]:
        """All of them, in order; they wait to be started again. The stash is empty then."""
        self._forget_ended()
        taken, self._messages = self._messages, deque()
        for invocation in taken:
            invocation.requeue()
        return taken

    def restore(self) -> int:
        """Put all of them back, before everything that waits in the mailbox.

        Returns:
            How many.
        """
        taken = self.take()
        cell = self._cell
        if taken:
            if cell.mailbox is None:
                cell.mailbox = deque()
            cell.mailbox.extendleft(reversed(taken))
        return len(taken)

    def _forget_ended(self) -> None:
        """Those whose caller gave up, or whose deadline passed."""
        self._messages = deque(each for each in self._messages if each.stage is STASHED)
