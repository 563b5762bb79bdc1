"""The mistakes: what each is, and where in the source it is made.

A mistake that the protocol makes up for by other means, before anybody could notice, is not here:
it changes nothing that was promised.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Change(NamedTuple):
    """A replacement in the source of a module of `pulsing.cluster`."""

    module: str
    old: str
    new: str


class Bug(NamedTuple):
    """A mistake as it is made in such protocols.

    Attributes:
        name: for the table.
        what: goes wrong, as a sentence.
        changes: to the source; more than one where the protocol has two ways to the same end.
    """

    name: str
    what: str
    changes: tuple[Change, ...]


NO_BUG: Final = Bug("none", "The cores as they are.", ())


def _bug(name: str, what: str, *changes: tuple[str, str, str]) -> Bug:
    return Bug(name, what, tuple(Change(*each) for each in changes))


_LIST: Final = (
    # --- precedence of claims
    _bug(
        "old-suspicion",
        "A suspicion of an older incarnation prevails over the refutation of it.",
        ("claims", "(_ALIVE,   _SUSPECT): (_S,   _A,   _A),", "(_ALIVE, _SUSPECT): (_A, _A, _A),"),
    ),
    _bug(
        "cheap-refutation",
        "ALIVE of the same incarnation ends a suspicion, whoever says it.",
        ("claims", "(_SUSPECT, _ALIVE):   (_I,   _I,   _A),", "(_SUSPECT, _ALIVE): (_I, _A, _A),"),
    ),
    _bug(
        "late-gossip-revives",
        "ALIVE of the incarnation that died brings a dead member back.",
        ("claims", "(_DEAD,    _ALIVE):   (_S,   _S,   _A),", "(_DEAD, _ALIVE): (_S, _A, _A),"),
    ),
    _bug(
        "goodbye-is-overruled",
        "Who left is suspected again by late claims.",
        ("claims", "(_LEFT,    _SUSPECT): (_S,   _S,   _A),", "(_LEFT, _SUSPECT): (_S, _A, _A),"),
    ),
    # --- refutation
    _bug(
        "no-refutation",
        "A suspected node says that it is alive, but with the same incarnation.",
        (
            "swim_core",
            '''higher incarnation."""
        self._table.raise_incarnation(claim.incarnation)
''',
            '''higher incarnation."""
''',
        ),
    ),
    _bug(
        "refutes-too-low",
        "A refutation is one above the own incarnation, not above the claim that it refutes.",
        ("member_table", "max(own.incarnation, above) + 1", "own.incarnation + 1"),
    ),
    _bug(
        "death-is-accepted",
        "A node that hears of its own death does not raise its incarnation.",
        (
            "claims",
            "(_ALIVE,   _DEAD):    (_S,   _R,   _R),\n    (_ALIVE,   _LEFT):    (_S,   _R,",
            "(_ALIVE, _DEAD): (_S, _S, _R),\n    (_ALIVE, _LEFT): (_S, _R,",
        ),
    ),
    # --- suspicions and probes
    _bug(
        "suspicion-is-endless",
        "A suspicion that lasted is dropped instead of coming true.",
        (
            "swim_core",
            "self._believe(Claim(_DEAD, node_id, suspicion.incarnation), now, reason)",
            "self._suspicions.drop(node_id)",
        ),
    ),
    _bug(
        "accusers-do-not-count",
        "A suspicion lasts the longest time, however many agree.",
        (
            "suspicion",
            "confirmed = min(len(self.accusers) - 1, self._needed)",
            "confirmed = 0",
        ),
    ),
    _bug(
        "helper-answers-itself",
        "Who is asked to probe another member says at once that it is there.",
        (
            "probing_core",
            "if request.target == self._own_id:\n            self._out",
            "if member is not None:\n            self._out",
        ),
    ),
    _bug(
        "refusal-is-silence",
        "That nobody listens at an address counts as no answer, not as proof.",
        ("probing_core", "if failure is Failure.REFUSED and ask", "if False and ask"),
    ),
    _bug(
        "any-answer-will-do",
        "Whoever answers at the address of a member is taken for it.",
        (
            "probing_core",
            """\
            heard = isinstance(answer, Ack) and peer_id == node_id
            if isinstance(answer, NotMe) or peer_id != node_id:
""",
            """\
            heard = isinstance(answer, Ack | NotMe)
            if False:
""",
        ),
    ),
    _bug(
        "health-never-recovers",
        "Timeouts that losses stretched stay stretched.",
        ("local_health", "self.score -= 1", "self.score -= 0"),
    ),
    _bug(
        "sleepers-blame-others",
        "A node that stood still goes on as if it had listened meanwhile.",
        ("gossip_core", "now - deadline > self._still_s:", "now < 0:"),
    ),
    _bug(
        "busy-is-no-excuse",
        "A member that says it is busy is suspected like any other.",
        (
            "swim_core",
            "if member is None or self._busy_until.get(node_id, now) > now:",
            "if member is None:",
        ),
    ),
    _bug(
        "links-stay-open",
        "The links to a dead member are not closed.",
        (
            "gossip_core",
            "if member.status is MemberStatus.DEAD:",
            "if member.status is MemberStatus.SUSPECT:",
        ),
    ),
    _bug(
        "the-dead-are-not-retried",
        "Who knows anybody asks neither seeds nor the dead again, so partitions stay.",
        (
            "joining_core",
            "if slowly:\n            chosen.extend(self._pick_one(now))",
            "if slowly:\n            pass",
        ),
        (
            "joining_core",
            "if new:\n            self._rng",
            "if new and self._alone:\n            self._rng",
        ),
    ),
    # --- news
    _bug(
        "news-never-end",
        "A piece of news is passed on for ever.",
        ("dissemination", "if now_sent >= limit:", "if now_sent >= 1000 * limit:"),
    ),
    _bug(
        "news-know-no-bound",
        "What goes into a message is not taken off its budget.",
        ("dissemination", "room -= size\n", "room -= 0\n"),
    ),
    _bug(
        "goodbye-is-not-said",
        "A node that leaves waits for answers, but has told nobody.",
        ("leaving", "for node_id in others:", "for node_id in ():"),
    ),
    _bug(
        "goodbyes-are-not-passed-on",
        "Who hears a goodbye keeps it to itself.",
        (
            "swim_core",
            """\
        else:
            self._news.put_claim(claim)
        if claim.status is _ALIVE:
""",
            """\
        elif claim.status is not _LEFT:
            self._news.put_claim(claim)
        if claim.status is _ALIVE:
""",
        ),
    ),
    # --- names
    _bug(
        "stale-names",
        "A change of names that is older than what is known is applied.",
        (
            "registry_core",
            "        if delta.version <= have:\n            return Applied.KNOWN\n",
            "",
        ),
    ),
    _bug(
        "gap-in-names",
        "A change of names is applied although the one before it is missing.",
        (
            "registry_core",
            "if delta.base > have or not delta.changes or",
            "if not delta.changes or",
        ),
    ),
    _bug(
        "names-of-the-dead",
        "The names of a dead member stay.",
        (
            "gossip_core",
            "self._parts.registry.remove_owner(member.info.node_id)",
            "pass",
        ),
    ),
    _bug(
        "digest-without-versions",
        "Comparing tables does not notice that names differ.",
        ("table_digest", "^ mixed(version)) or 1", "^ mixed(0 * version)) or 1"),
    ),
    _bug(
        "listing-keeps-ghosts",
        "A listing of all names does not remove those that it does not mention.",
        ("registry_core", "for name in sorted(listing.unseen):", "for name in ():"),
    ),
    _bug(
        "listing-skips-one",
        "Between two pages of a listing one name is lost.",
        (
            "registry_part",
            "bisect_right(listed, after) if after else 0",
            "bisect_right(listed, after) + 1 if after else 0",
        ),
    ),
)
BUGS: Final[Mapping[str, Bug]] = {bug.name: bug for bug in _LIST}
"""By name."""
