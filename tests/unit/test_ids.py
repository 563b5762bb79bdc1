import pytest

from pulsing.ids import ActorId, canonical_name, generated_name, new_node_id


def test_a_bare_name_lives_in_the_actors_namespace():
    assert canonical_name("counter") == "actors/counter"


def test_a_name_with_slashes_is_kept():
    assert canonical_name("services/llm/router") == "services/llm/router"


def test_a_canonical_name_is_its_own_canonical_name():
    assert canonical_name(canonical_name("counter")) == "actors/counter"


@pytest.mark.parametrize(
    "name",
    ["", "/", "a/", "/a", "a//b", "a b", "a@b", "ä", "x" * 65, "a/..", ".", "a/../b", "a\n", "a?"],
)
def test_anything_else_is_refused(name):
    with pytest.raises(ValueError, match="not an actor name"):
        canonical_name(name)


def test_a_name_may_have_256_characters_and_no_more():
    longest = "/".join(["x" * 63] * 4)
    assert len(longest) == 255
    assert canonical_name(longest) == longest
    with pytest.raises(ValueError, match="too long"):
        canonical_name(longest + "/yy")


def test_the_system_namespace_is_reserved():
    with pytest.raises(ValueError, match="reserved"):
        canonical_name("system/gossip")
    assert canonical_name("systems/gossip") == "systems/gossip"


def test_a_generated_name_is_a_name_and_not_given_twice():
    names = {generated_name("Counter") for _ in range(100)}
    assert len(names) == 100
    assert all(canonical_name(name) == name for name in names)
    assert canonical_name(generated_name("C" * 200))


def test_an_actor_id_reads_what_it_writes():
    actor_id = ActorId(new_node_id(), 7)
    assert ActorId.parse(str(actor_id)) == actor_id


@pytest.mark.parametrize(
    "text", ["", "7", "x/7", "g" * 32 + "/7", "0" * 32 + "/x", "0" * 32 + "/²"]
)
def test_what_is_not_an_actor_id_is_refused(text):
    with pytest.raises(ValueError, match="not an actor id"):
        ActorId.parse(text)
