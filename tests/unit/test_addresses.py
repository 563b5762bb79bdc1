import pytest

from pulsing.addresses import ActorAddress, is_loopback, join_host_port, split_host_port

NODE = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8000", "127.0.0.1", 8000),
        ("0.0.0.0:0", "0.0.0.0", 0),
        ("localhost:1", "localhost", 1),
        ("actor-cluster.default.svc.cluster.local:8080", None, 8080),
        ("[::1]:8000", "::1", 8000),
        ("[2001:db8::2]:65535", "2001:db8::2", 65535),
    ],
)
def test_host_and_port_survive_a_round_trip(text, host, port):
    found = split_host_port(text)
    assert found == (host or text.rpartition(":")[0], port)
    assert join_host_port(*found) == text


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("localhost", "expected HOST:PORT"),
        ("localhost:", "expected HOST:PORT"),
        ("localhost:http", "expected HOST:PORT"),
        ("localhost:65536", "expected HOST:PORT"),
        ("localhost:-1", "expected HOST:PORT"),
        (":8000", "0.0.0.0:8000"),
        ("::1:8000", r"in brackets: \[::1\]:8000"),
        ("[nonsense]:8000", "no IPv6 host"),
        ("a b:8000", "not a host name"),
        ("http://a:8000", "brackets"),
        ("a/b:8000", "not a host name"),
    ],
)
def test_a_wrong_address_is_refused_with_a_hint(text, hint):
    with pytest.raises(ValueError, match=hint):
        split_host_port(text)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("actor:///services/llm/router", ActorAddress(name="services/llm/router")),
        ("actor:///counter", ActorAddress(name="actors/counter")),
        ("actor:///a/b@node_a", ActorAddress(name="a/b", node="node_a")),
        (f"actor://{NODE}/17", ActorAddress(node=NODE, local=17)),
        ("actor://localhost/17", ActorAddress(node="localhost", local=17)),
        ("actor://localhost/worker_123", ActorAddress(node="localhost", name="actors/worker_123")),
        (
            "actor://10.0.0.1:8000/counter",
            ActorAddress(name="actors/counter", host_port="10.0.0.1:8000"),
        ),
        ("actor://[::1]:8000/a/b", ActorAddress(name="a/b", host_port="[::1]:8000")),
        (
            f"actor://host.example:8000/{NODE}/3",
            ActorAddress(node=NODE, local=3, host_port="host.example:8000"),
        ),
        ("counter", ActorAddress(name="actors/counter")),
        (f"{NODE}/3", ActorAddress(node=NODE, local=3)),
    ],
)
def test_every_form_of_address_is_read_and_written(text, address):
    assert ActorAddress.parse(text) == address
    assert ActorAddress.parse(str(address)) == address


def test_the_target_is_what_a_node_looks_up():
    assert ActorAddress.parse("actor://h:1/counter").target == "actors/counter"
    assert ActorAddress.parse(f"actor://h:1/{NODE}/3").target == f"@{NODE}/3"


@pytest.mark.parametrize(
    "text",
    [
        "actor://",
        "actor:///",
        "actor://host:8000",
        "actor://host:8000/",
        "actor://host:0/counter",
        "actor://host:port/counter",
        "actor://::1:8000/counter",
        "actor:///counter@",
        "actor:///counter@a/b",
        "actor:///a b",
        "actor:///counter?x=1",
        "actor:///system/x",
        "actor://a@b/1",
        "http://host:8000/counter",
        "",
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match=r"not an|reserved"):
        ActorAddress.parse(text)


def test_an_address_has_a_name_or_a_number():
    with pytest.raises(ValueError, match="either"):
        ActorAddress()
    with pytest.raises(ValueError, match="either"):
        ActorAddress(name="a/b", node=NODE, local=1)
    with pytest.raises(ValueError, match="together with its node"):
        ActorAddress(local=1)


def test_a_bare_name_may_say_its_node():
    assert ActorAddress.parse("counter@n1") == ActorAddress(name="actors/counter", node="n1")
    assert ActorAddress.parse("services/llm/router@n1").name == "services/llm/router"
    for wrong in ("counter@", "@n1", "counter@a b", "counter@n1@n2"):
        with pytest.raises(ValueError, match="not an actor"):
            ActorAddress.parse(wrong)


@pytest.mark.parametrize(
    ("address", "yes"),
    [
        ("127.0.0.1:1", True),
        ("127.9.9.9:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("a.localhost:1", True),
        ("10.0.0.1:1", False),
        ("localhost.example:1", False),
        ("0.0.0.0:1", False),
    ],
)
def test_what_only_this_machine_reaches_is_known(address, yes):
    assert is_loopback(address) is yes
