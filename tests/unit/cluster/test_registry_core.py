"""The registry: own changes, deltas, pulls, listings, owners that go, and lies about all that."""

from __future__ import annotations

import random

import pytest

from benchmarks.reliability.registry_model import RegistryModel
from pulsing.cluster.members import Registration
from pulsing.cluster.message_codec import decode, encode
from pulsing.cluster.messages import NameChange, Page, Pull, RegistryDelta
from pulsing.cluster.registry_core import Applied, Registry

A, B, C = "aa" * 16, "bb" * 16, "cc" * 16
ROOM = 64 * 1024
SMALL = 4096


def registry_with(owner: str, *names: str) -> Registry:
    registry = Registry(owner)
    for local, name in enumerate(names, 1):
        registry.register(name, local, "Counter")
    return registry


def pull_everything(reader: Registry, source: Registry, owner: str, room: int = ROOM) -> int:
    """As a node would: through the codec, page after page. Returns the number of pages."""
    pages = 0
    pull: Pull | None = reader.next_pull(owner)
    while pull is not None:
        body = encode(source.page(pull, room))
        assert len(body) <= room
        page = decode(body)
        assert isinstance(page, Page)
        pull = reader.page_received(page)
        pages += 1
        assert pages < 10_000
    return pages


def names_of(registry: Registry, owner: str) -> dict[str, int]:
    return {
        name: each.local
        for name, instances in registry.names().items()
        for each in instances
        if each.node_id == owner
    }


# --- the own part --------------------------------------------------------------------------------


def test_an_own_name_is_found_at_once() -> None:
    registry = registry_with(A, "actors/x")
    assert registry.lookup("actors/x") == (Registration("actors/x", A, 1, "Counter"),)
    assert registry.take_changed_names() == ("actors/x",)
    assert registry.take_changed_names() == ()


def test_a_name_that_was_dropped_is_gone_and_may_come_back() -> None:
    registry = registry_with(A, "actors/x")
    registry.unregister("actors/x")
    assert registry.lookup("actors/x") == ()
    assert "actors/x" not in registry.names()
    registry.register("actors/x", 9, "Counter")
    assert [each.local for each in registry.lookup("actors/x")] == [9]


def test_dropping_an_unknown_name_is_no_change() -> None:
    registry = registry_with(A)
    registry.unregister("actors/x")
    assert registry.version_of(A) == 0
    assert registry.take_delta(ROOM) is None


@pytest.mark.parametrize("name", ["", "x" * 257, "actors/ü", "a b", "actors/\ud800"])
def test_a_name_that_others_would_refuse_is_refused_here(name: str) -> None:
    registry = registry_with(A)
    with pytest.raises(ValueError, match="name"):
        registry.register(name, 1, "Counter")
    assert registry.version_of(A) == 0


def test_any_class_name_can_travel() -> None:
    registry = Registry(A)
    registry.register("actors/x", 1, "Ü\n\ud800" + "y" * 1000)
    reader = Registry(B)
    pull_everything(reader, registry, A)
    (found,) = reader.lookup("actors/x")
    assert found.class_name.startswith("Ü??yy")
    assert len(found.class_name) == 128


# --- deltas --------------------------------------------------------------------------------------


def test_a_delta_brings_what_changed_and_is_news_once() -> None:
    owner, reader = registry_with(A, "actors/x", "actors/y"), Registry(B)
    delta = owner.take_delta(ROOM)
    assert delta == RegistryDelta(
        A, 0, 2, (NameChange("actors/x", 1, "Counter"), NameChange("actors/y", 2, "Counter"))
    )
    assert owner.take_delta(ROOM) is None
    assert reader.apply(delta) is Applied.NEWS
    assert reader.apply(delta) is Applied.KNOWN
    assert reader.version_of(A) == 2
    assert names_of(reader, A) == {"actors/x": 1, "actors/y": 2}


def test_a_delta_says_the_latest_of_each_name_only() -> None:
    owner = registry_with(A, "actors/x")
    owner.unregister("actors/x")
    owner.register("actors/x", 5, "Other")
    delta = owner.take_delta(ROOM)
    assert delta is not None
    assert delta.changes == (NameChange("actors/x", 5, "Other"),)
    assert (delta.base, delta.version) == (0, 3)


def test_a_lost_delta_is_covered_by_the_next_one() -> None:
    owner, reader = registry_with(A, "actors/x"), Registry(B)
    owner.take_delta(ROOM)
    owner.register("actors/y", 2, "Counter")
    late = owner.take_delta(ROOM)
    assert late is not None
    assert reader.apply(late) is Applied.NEWS
    assert names_of(reader, A) == {"actors/x": 1, "actors/y": 2}


def test_earlier_changes_that_ride_along_are_few_and_never_crowd_out_the_new() -> None:
    owner = registry_with(A, *(f"actors/old{each}" for each in range(50)))
    owner.take_delta(ROOM)
    owner.register("actors/new", 99, "Counter")
    delta = owner.take_delta(ROOM)
    assert delta is not None
    assert delta.changes[-1].name == "actors/new"
    assert len(delta.changes) == 9
    assert (delta.base, delta.version) == (42, 51)
    owner.register("actors/newer", 100, "Counter")
    tight = owner.take_delta(64 + 100)
    assert tight is not None
    assert [each.name for each in tight.changes] == ["actors/new", "actors/newer"]
    assert tight.base == 50


def test_deltas_in_the_wrong_order_end_the_same() -> None:
    owner, reader = Registry(A), Registry(B)
    deltas: list[RegistryDelta] = []
    for step in range(6):
        owner.register(f"actors/{step % 2}", step, "Counter")
        delta = owner.take_delta(ROOM)
        assert delta is not None
        deltas.append(delta)
    assert reader.apply(deltas[-1]) is Applied.NEWS
    assert {reader.apply(each) for each in deltas} == {Applied.KNOWN}
    assert names_of(reader, A) == names_of(owner, A)


def test_a_gap_is_noticed_and_changes_nothing() -> None:
    owner, reader = Registry(A), Registry(B)
    for step in range(30):
        owner.register(f"actors/{step}", step, "Counter")
        delta = owner.take_delta(ROOM)
    assert delta is not None
    assert delta.base > 0
    assert reader.apply(delta) is Applied.GAP
    assert names_of(reader, A) == {}
    assert reader.version_of(A) == 0
    assert pull_everything(reader, owner, A) == 1
    assert names_of(reader, A) == names_of(owner, A)


def test_too_much_for_a_delta_is_only_a_hint() -> None:
    owner, reader = registry_with(A, *(f"actors/{each}" for each in range(1000))), Registry(B)
    hint = owner.take_delta(1200)
    assert hint == RegistryDelta(A, 0, 1000)
    assert reader.apply(hint) is Applied.GAP
    assert pull_everything(reader, owner, A) >= 1
    assert names_of(reader, A) == names_of(owner, A)
    assert reader.apply(hint) is Applied.KNOWN


def test_a_delta_is_never_larger_than_asked() -> None:
    dice = random.Random(5)
    owner = Registry(A)
    for step in range(2000):
        for _ in range(dice.randrange(1, 30)):
            owner.register(f"actors/{dice.randrange(100)}" + "x" * dice.randrange(200), step, "C")
        room = dice.randrange(100, 3000)
        delta = owner.take_delta(room)
        assert delta is not None
        assert len(encode(Page(*delta))) <= room


def test_an_announcement_says_all_of_a_small_part() -> None:
    owner, forgetful = registry_with(A, "actors/x"), Registry(B)
    first = owner.take_delta(ROOM)
    assert first is not None
    forgetful.apply(first)
    forgetful.remove_owner(A)
    owner.announce()
    again = owner.take_delta(ROOM)
    assert again is not None
    assert forgetful.apply(again) is Applied.NEWS
    assert names_of(forgetful, A) == {"actors/x": 1}


def test_an_announcement_without_names_says_nothing() -> None:
    owner = Registry(A)
    owner.announce()
    assert owner.take_delta(ROOM) is None


# --- pulls ---------------------------------------------------------------------------------------


def test_a_pull_gets_only_what_came_after() -> None:
    owner, reader = registry_with(A, *(f"actors/{each}" for each in range(100))), Registry(B)
    pull_everything(reader, owner, A)
    owner.unregister("actors/7")
    owner.register("actors/new", 500, "Counter")
    page = owner.page(reader.next_pull(A), ROOM)
    assert (page.base, page.version, page.more) == (100, 102, False)
    assert {each.name for each in page.changes} == {"actors/7", "actors/new"}
    assert reader.page_received(page) is None
    assert names_of(reader, A) == names_of(owner, A)


def test_a_pull_of_an_unknown_owner_or_of_nothing_new_says_so() -> None:
    owner, reader = registry_with(A, "actors/x"), Registry(B)
    assert reader.page(Pull(C, 0), ROOM) == Page(C, 0, 0, ())
    assert reader.page_received(Page(C, 0, 0, ())) is None
    pull_everything(reader, owner, A)
    assert owner.page(reader.next_pull(A), ROOM) == Page(A, 1, 1, ())
    assert owner.page(Pull(A, 77), ROOM) == Page(A, 1, 1, ())


def test_many_changes_come_in_pages_from_their_owner() -> None:
    owner, reader = registry_with(A, *(f"actors/{each}" for each in range(2000))), Registry(B)
    assert pull_everything(reader, owner, A, SMALL) > 10
    assert names_of(reader, A) == names_of(owner, A)


def test_a_copy_serves_what_it_has_to_others() -> None:
    owner, copy, reader = registry_with(A, "actors/x", "actors/y"), Registry(B), Registry(C)
    pull_everything(copy, owner, A)
    pull_everything(reader, copy, A)
    assert names_of(reader, A) == names_of(owner, A)
    assert reader.version_of(A) == owner.version_of(A)


def test_a_copy_serves_drops_as_well() -> None:
    owner, copy, reader = registry_with(A, "actors/x", "actors/y"), Registry(B), Registry(C)
    pull_everything(copy, owner, A)
    pull_everything(reader, copy, A)
    owner.unregister("actors/x")
    owner.register("actors/z", 3, "Counter")
    pull_everything(copy, owner, A)
    assert pull_everything(reader, copy, A) == 1
    assert names_of(reader, A) == {"actors/y": 2, "actors/z": 3}


def test_listings_come_in_bounded_pages_in_order() -> None:
    owner, reader = registry_with(A, *(f"actors/{each}" for each in range(10_000))), Registry(B)
    page = owner.page(reader.next_pull(A), SMALL)
    assert (page.base, page.more) == (-1, True)
    assert [each.name for each in page.changes] == sorted(each.name for each in page.changes)
    assert pull_everything(reader, owner, A, SMALL) > 50
    assert names_of(reader, A) == names_of(owner, A)
    assert reader.version_of(A) == owner.version_of(A)


def test_the_shortest_names_do_not_break_the_bound_of_lists() -> None:
    owner, reader = Registry(A), Registry(B)
    for each in range(12_000):
        owner.register(f"{each:x}", each, "")
    assert pull_everything(reader, owner, A) > 1
    assert names_of(reader, A) == names_of(owner, A)


def test_a_listing_is_right_although_names_come_and_go_meanwhile() -> None:
    owner, reader = registry_with(A, *(f"actors/{each:05}" for each in range(6000))), Registry(B)
    pull: Pull | None = reader.next_pull(A)
    step = 0
    while pull is not None:
        page = owner.page(pull, SMALL)
        if page.more or page.base == -1:
            owner.unregister(f"actors/{step:05}")  # listed already
            owner.unregister(f"actors/{5999 - step:05}")  # to be listed
            owner.register(f"actors/{step:05}-new", 7000 + step, "Counter")  # behind the cursor
            owner.register(f"actors/{5000 - step:05}", 8000 + step, "Counter")  # replaced
        step += 1
        pull = reader.page_received(page)
    assert step > 20
    assert names_of(reader, A) == names_of(owner, A)
    assert reader.version_of(A) == owner.version_of(A)


def test_a_listing_drops_what_the_owner_dropped_long_ago() -> None:
    owner, reader = registry_with(A, *(f"actors/{each}" for each in range(500))), Registry(B)
    pull_everything(reader, owner, A)
    for each in range(400):
        owner.unregister(f"actors/{each}")
    for each in range(6000):  # more than is remembered
        owner.register(f"actors/other{each}", each, "Counter")
    seen_before_the_end = names_of(reader, A).keys()
    assert len(seen_before_the_end) == 500
    pull_everything(reader, owner, A, SMALL)
    assert names_of(reader, A) == names_of(owner, A)


def test_a_listing_that_lost_its_ground_begins_again() -> None:
    owner, reader = registry_with(A, *(f"actors/{each:05}" for each in range(6000))), Registry(B)
    pull = reader.page_received(owner.page(reader.next_pull(A), SMALL))
    assert pull is not None
    assert pull.after
    for each in range(5000):
        owner.register(f"actors/{each:05}", 10_000 + each, "Counter")
    page = owner.page(pull, SMALL)
    assert page.version > pull.version
    assert page.changes[0].name == "actors/00000"
    pull = reader.page_received(page)
    while pull is not None:
        pull = reader.page_received(owner.page(pull, SMALL))
    assert names_of(reader, A) == names_of(owner, A)


def test_a_listing_of_an_owner_that_was_removed_meanwhile_is_not_taken_in_halves() -> None:
    owner, reader = registry_with(A, *(f"actors/{each:05}" for each in range(6000))), Registry(B)
    pull = reader.page_received(owner.page(reader.next_pull(A), SMALL))
    assert pull is not None
    late = owner.page(pull, SMALL)
    reader.remove_owner(A)
    assert reader.page_received(late) is None
    assert reader.version_of(A) == 0
    assert names_of(reader, A) == {}
    pull_everything(reader, owner, A)
    assert names_of(reader, A) == names_of(owner, A)


def test_a_delta_that_overtakes_a_listing_ends_it() -> None:
    owner, reader = registry_with(A, "actors/x"), Registry(B)
    pull_everything(reader, owner, A)
    reader.next_pull(A)
    owner.register("actors/y", 2, "Counter")
    delta = owner.take_delta(ROOM)
    assert delta is not None
    stale = Page(A, -1, 1, (NameChange("actors/gone", 7, "Counter"),))
    assert reader.apply(delta) is Applied.NEWS
    assert reader.page_received(stale) is None
    assert names_of(reader, A) == {"actors/x": 1, "actors/y": 2}


def test_older_news_do_not_undo_what_a_listing_brought_already() -> None:
    owner, reader = Registry(A, remembered_own=300), Registry(B)
    owner.register("actors/0", 1, "Counter")
    pull_everything(reader, owner, A)
    owner.register("actors/0", 2, "Counter")
    older = owner.take_delta(ROOM)
    assert older is not None
    for each in range(400):
        owner.register(f"actors/{each}", 10 + each, "Counter")
    pull = reader.page_received(owner.page(reader.next_pull(A), SMALL))
    assert reader.apply(older) is Applied.GAP
    while pull is not None:
        pull = reader.page_received(owner.page(pull, SMALL))
    assert names_of(reader, A) == names_of(owner, A)


@pytest.mark.parametrize(
    "page",
    [
        Page(A, 5, 9, (NameChange("actors/evil", 1, "C"),)),
        Page(A, -1, 9, (), more=True),
        Page(C, -1, 9, (NameChange("actors/evil", 1, "C"),)),
        Page(A, 0, 0, (NameChange("actors/evil", 1, "C"),)),
    ],
    ids=["a gap", "endless and empty", "not asked for", "of version 0"],
)
def test_pages_that_make_no_sense_end_the_pull(page: Page) -> None:
    reader = Registry(B)
    reader.next_pull(A)
    assert reader.page_received(page) is None
    assert dict(reader.names()) == {}


def test_pages_that_run_in_circles_end_the_pull() -> None:
    reader = Registry(B)
    reader.next_pull(A)
    page = Page(A, -1, 9, (NameChange("actors/m", 1, "C"),), more=True)
    assert reader.page_received(page) == Pull(A, 0, 9, "actors/m")
    assert reader.page_received(page) is None
    assert reader.version_of(A) == 0


# --- owners come, go and lie ---------------------------------------------------------------------


def test_the_part_of_a_removed_owner_goes_at_once_and_others_stay() -> None:
    reader = registry_with(B, "actors/x")
    for owner in (A, C):
        pull_everything(reader, registry_with(owner, "actors/x", f"actors/{owner[0]}"), owner)
    reader.take_changed_names()
    reader.remove_owner(A)
    assert [each.node_id for each in reader.lookup("actors/x")] == [B, C]
    assert set(reader.take_changed_names()) == {"actors/x", "actors/a"}
    assert reader.version_of(A) == 0
    reader.remove_owner(A)
    reader.remove_owner(B)
    assert [each.node_id for each in reader.lookup("actors/x")] == [B, C]


def test_instances_are_in_order_of_node_id_on_every_node() -> None:
    parts = [registry_with(owner, "actors/x") for owner in (C, A)]
    reader = registry_with(B, "actors/x")
    for part, owner in zip(parts, (C, A), strict=True):
        pull_everything(reader, part, owner)
    assert [each.node_id for each in reader.lookup("actors/x")] == [A, B, C]


def test_late_news_of_a_node_that_is_not_admitted_bring_nothing_back() -> None:
    dead = {A}
    owner, reader = registry_with(A, "actors/x"), Registry(B, admits=lambda node: node not in dead)
    delta = owner.take_delta(ROOM)
    assert delta is not None
    pull = reader.next_pull(A)
    assert reader.apply(delta) is Applied.KNOWN
    assert reader.page_received(owner.page(pull, ROOM)) is None
    assert reader.lookup("actors/x") == ()
    dead.clear()
    assert reader.apply(delta) is Applied.NEWS


def test_a_lie_about_the_own_part_is_refuted() -> None:
    owner, deceived = registry_with(A, "actors/x"), Registry(B)
    pull_everything(deceived, owner, A)
    owner.take_delta(ROOM)
    lie = RegistryDelta(A, 0, 1000, (NameChange("actors/evil", 1, "C"), NameChange("actors/x", 9)))
    assert deceived.apply(lie) is Applied.NEWS
    assert owner.apply(lie) is Applied.KNOWN
    assert names_of(owner, A) == {"actors/x": 1}
    assert owner.version_of(A) == 1001
    refutation = owner.take_delta(ROOM)
    assert refutation is not None
    assert deceived.apply(refutation) is Applied.GAP
    pull_everything(deceived, owner, A)
    assert names_of(deceived, A) == {"actors/x": 1}


def test_versions_out_of_range_do_nothing() -> None:
    owner, reader = registry_with(A, "actors/x"), Registry(B)
    beyond = RegistryDelta(A, 0, 1 << 62, (NameChange("actors/evil", 1, "C"),))
    assert owner.apply(beyond) is Applied.KNOWN
    assert owner.version_of(A) == 1
    assert reader.apply(beyond._replace(version=(1 << 62) + 1)) is Applied.KNOWN
    assert reader.apply(beyond._replace(version=0)) is Applied.KNOWN


def test_the_names_of_one_foreign_owner_are_bounded() -> None:
    reader = Registry(B, max_foreign_names=100)
    pull_everything(reader, registry_with(A, *(f"actors/{each}" for each in range(500))), A)
    assert len(reader.names()) == 100


def test_the_view_of_all_names_cannot_be_written() -> None:
    view = registry_with(A, "actors/x").names()
    assert not hasattr(view, "pop")


# --- the model -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_no_random_history_leaves_a_ghost(seed: int) -> None:
    """Lost, late and repeated news; small logs; pulls that break off; owners that die."""
    model = RegistryModel(seed=seed)
    model.run(3000)
    model.converge()
