"""What must hold after every step of every core, and what must hold once all is well again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pulsing.cluster.effects import CloseLinks, Effect, TellMemberChange
from pulsing.cluster.members import Member, MemberStatus

from .observations import Observations, shown
from .process import UNKNOWN, Process

_ALIVE = MemberStatus.ALIVE
_SUSPECT = MemberStatus.SUSPECT
_DEAD = MemberStatus.DEAD
_LEFT = MemberStatus.LEFT

MOVES: Mapping[int, frozenset[int]] = {
    UNKNOWN: frozenset({_ALIVE, _SUSPECT, _DEAD, _LEFT}),
    _ALIVE: frozenset({_ALIVE, _SUSPECT, _DEAD, _LEFT}),
    _SUSPECT: frozenset({_ALIVE, _DEAD, _LEFT}),
    _DEAD: frozenset({_ALIVE, _SUSPECT, _LEFT}),
    _LEFT: frozenset({_ALIVE, _SUSPECT}),
}
"""Which status may follow which in one observer's belief (SWIM 4.2); ALIVE after ALIVE: busy."""


def broken_by_change(
    process: Process,
    subject: Process,
    effect: TellMemberChange,
    effects: Sequence[Effect],
    *,
    may_forget: bool,
) -> str | None:
    """The rule that a new belief breaks, as a sentence; None: it may be so.

    To be asked before the belief is noted. ``may_forget``: for so long have there been dead members
    that some may be forgotten.
    """
    member, before = effect.member, effect.before
    status, incarnation = member.status, member.incarnation
    old = process.belief(subject.serial)
    told = UNKNOWN if before is None else int(before)
    if told == UNKNOWN and may_forget and old != UNKNOWN and old >= _DEAD:
        old = UNKNOWN
    if told != old:
        return f"{process} says it believed {shown(told)} of {subject}, but that was {shown(old)}"
    why = _wrong_move(process, subject, old, status, incarnation)
    if why is None and status >= _DEAD:
        must_close = status == _DEAD and old <= _SUSPECT
        why = _left_behind(process, subject, effects, must_close=must_close)
    if why is None:
        return None
    return f"{process} moved {subject} from {shown(old)} to {shown(status)}{why}"


def _wrong_move(
    process: Process, subject: Process, old: int, status: int, incarnation: int
) -> str | None:
    if status not in MOVES[old]:
        return ", which no rule allows"
    if incarnation > subject.issued:
        return f" at incarnation {incarnation}, but that one never went above {subject.issued}"
    if old != UNKNOWN:
        known = process.believed_incarnation[subject.serial]
        if incarnation < known:
            return f" and back from incarnation {known} to {incarnation}"
        if status < old and incarnation <= known:
            return f" without a higher incarnation than {known}"
    return None


def _left_behind(
    process: Process, subject: Process, effects: Sequence[Effect], *, must_close: bool
) -> str | None:
    if must_close and not any(
        type(each) is CloseLinks and each.node_id == subject.node_id for each in effects
    ):
        return ", but left its links open"
    for name in subject.names:
        if any(each.node_id == subject.node_id for each in process.core.lookup(name)):
            return f", but still finds {name!r} there"
    return None


def broken_by_names(process: Process, names: Iterable[str]) -> str | None:
    """The rule that a change of names breaks; None: none. To be asked after each of them.

    A number of an actor is never given twice: what an observer saw disappear does not come back,
    unless its node did.
    """
    for name in names:
        now = {(each.node_id, each.local) for each in process.core.lookup(name)}
        before = process.found.get(name, frozenset())
        for node_id, local in now - before:
            if local in process.disappeared.get(node_id, ()):
                return f"{process} finds {name!r} on {node_id[:8]} again, actor {local}, that ended"
        for node_id, local in before - now:
            owner = process.core.members.get(node_id)
            if owner is not None and owner.is_present:
                process.disappeared.setdefault(node_id, set()).add(local)
        process.found[name] = frozenset(now)
    return None


def broken_by_step(process: Process, own: Member | None) -> str | None:
    """The rule about itself that a core broke in its last step; None: none."""
    if own is None:
        return f"{process} is no member of its own table"
    if own.status != _ALIVE and not (process.is_leaving and own.status == _LEFT):
        return f"{process} believes of itself that it is {shown(own.status)}"
    if own.incarnation < process.incarnation:
        return f"{process} went back from incarnation {process.incarnation} to {own.incarnation}"
    return None


def audit_beliefs(process: Process, observed: Observations) -> str | None:
    """Where a core's table differs from what it told about it; None: nowhere."""
    members = process.core.members
    for node_id, member in members.items():
        if node_id == process.node_id:
            continue
        subject = observed.process_of(node_id)
        if subject is None:
            return f"{process} knows a member {node_id} that never was"
        told = process.belief(subject.serial)
        if told != member.status:
            return (
                f"{process} has {subject} as {shown(member.status)} in its table, "
                f"but told of {shown(told)}"
            )
        if member.incarnation > subject.issued:
            return (
                f"{process} has {subject} at incarnation {member.incarnation}, "
                f"which it never went to ({subject.issued})"
            )
        known = process.believed_incarnation[subject.serial]
        if member.incarnation < known:
            return f"{process} has {subject} back from incarnation {known} to {member.incarnation}"
        process.believed_incarnation[subject.serial] = member.incarnation
    return None


def audit_names(process: Process, running: Mapping[str, Process]) -> str | None:
    """Where a core's registry differs from what the running owners have; None: nowhere."""
    expected = {
        (name, owner.node_id, local, class_name)
        for owner in running.values()
        for name, (local, class_name) in owner.names.items()
    }
    found = [
        (name, each.node_id, each.local, each.class_name)
        for name, instances in process.core.names().items()
        for each in instances
    ]
    if len(found) != len(set(found)):
        return f"{process} lists an instance twice"
    if missing := expected - set(found):
        return f"{process} does not find {len(missing)} instances, such as {min(missing)}"
    if ghosts := set(found) - expected:
        return f"{process} finds {len(ghosts)} ghosts, such as {min(ghosts)}"
    return None
