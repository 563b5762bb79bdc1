import dataclasses

import pytest

from pulsing.config import SystemConfig


def load(directory, environ=None, **arguments):
    return SystemConfig.load(environ=environ or {}, directory=directory, **arguments)


def test_the_default_is_standalone(tmp_path):
    assert load(tmp_path) == SystemConfig.standalone() == SystemConfig()
    assert SystemConfig().addr is None


def test_an_argument_wins_over_environment_over_file_over_default(tmp_path):
    (tmp_path / "pulsing.toml").write_text('addr = "a:1"\nstream_buffer = 5\nmailbox_size = 9\n')
    environ = {"PULSING_ADDR": "b:2", "PULSING_STREAM_BUFFER": "6"}
    config = load(tmp_path, environ, addr="c:3")
    assert (config.addr, config.stream_buffer, config.mailbox_size) == ("c:3", 6, 9)
    assert config.max_concurrency == SystemConfig().max_concurrency


def test_an_argument_of_none_counts_as_not_given(tmp_path):
    assert load(tmp_path, {"PULSING_ADDR": "b:2"}, addr=None).addr == "b:2"


def test_pyproject_is_read_when_there_is_no_pulsing_toml(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[tool.pulsing]\naddr = "a:1"\n')
    assert load(tmp_path).addr == "a:1"
    (tmp_path / "pulsing.toml").write_text("")
    assert load(tmp_path).addr is None


def test_a_pyproject_without_our_table_says_nothing(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool.other]\nx = 1\n")
    assert load(tmp_path) == SystemConfig()


@pytest.mark.parametrize("word", ["none", "off", "OFF", ""])
def test_off_turns_a_setting_off(tmp_path, word):
    assert load(tmp_path, {"PULSING_DEFAULT_TIMEOUT_S": word}).default_timeout_s is None


def test_false_in_a_file_turns_a_setting_off(tmp_path):
    (tmp_path / "pulsing.toml").write_text("default_timeout_s = false\n")
    assert load(tmp_path).default_timeout_s is None


@pytest.mark.parametrize(("word", "value"), [("1", True), ("true", True), ("no", False)])
def test_switches_are_read_from_words(tmp_path, word, value):
    assert load(tmp_path, {"PULSING_ALLOW_PICKLE": word}).allow_pickle is value


def test_all_problems_of_all_sources_are_listed_at_once(tmp_path):
    (tmp_path / "pulsing.toml").write_text('adr = "a:1"\nallow_pickle = "perhaps"\n')
    environ = {"PULSING_MAILBOX_SIZE": "many", "PULSING_STREAM_BUFFER": "0"}
    with pytest.raises(ValueError, match="configuration has 5 problems") as caught:
        load(tmp_path, environ, addr="nowhere")
    text = str(caught.value)
    assert "pulsing.toml: unknown key 'adr'; did you mean 'addr'?" in text
    assert "pulsing.toml: allow_pickle: expected true or false" in text
    assert "environment variable PULSING_MAILBOX_SIZE: mailbox_size" in text
    assert "stream_buffer: 0 is too low" in text
    assert "addr: not an address: 'nowhere'" in text


def test_a_file_that_is_not_toml_is_a_problem_that_names_it(tmp_path):
    (tmp_path / "pulsing.toml").write_text("addr = ")
    with pytest.raises(ValueError, match=r"pulsing\.toml: cannot be read"):
        load(tmp_path)


def test_an_unknown_argument_is_a_problem(tmp_path):
    with pytest.raises(ValueError, match="argument: unknown key 'seats'; did you mean 'seeds'"):
        load(tmp_path, seats=["a:1"])


def test_variables_of_a_kubernetes_service_called_pulsing_are_not_ours(tmp_path):
    environ = {
        "PULSING_SERVICE_HOST": "10.0.0.1",
        "PULSING_SERVICE_PORT": "8000",
        "PULSING_SERVICE_PORT_HTTP": "8000",
        "PULSING_PORT": "tcp://10.0.0.1:8000",
        "PULSING_PORT_8000_TCP": "tcp://10.0.0.1:8000",
        "PULSING_PORT_8000_TCP_ADDR": "10.0.0.1",
        "PULSING_NODE_SERVICE_HOST": "10.0.0.1",
    }
    assert load(tmp_path, environ) == SystemConfig()


def test_the_passphrase_is_shown_nowhere(tmp_path):
    assert "hunter2" not in repr(SystemConfig.standalone().with_passphrase("hunter2"))
    (tmp_path / "pulsing.toml").write_text("passphrase = 1234567\n")
    with pytest.raises(ValueError, match="passphrase: expected text") as caught:
        load(tmp_path)
    assert "1234567" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"addr": "x"},
        {"passphrase": ""},
        {"cluster_name": "a b"},
        {"default_timeout_s": 0},
        {"default_timeout_s": float("nan")},
        {"max_concurrency": 0},
        {"worker_threads": 0},
        {"max_message_bytes": 1},
        {"keepalive_interval_s": -1},
        {"stall_threshold_s": 0},
        {"seeds": ["nowhere"]},
        {"seeds": ["a:0"]},
        {"seeds": ["0.0.0.0:8000"]},
        {"seeds": [1]},
        {"head_addr": "::1:8000"},
        {"head_addr": ""},
        {"advertise": "0.0.0.0", "addr": "a:1"},
        {"advertise": "b:0", "addr": "a:1"},
        {"advertise": "b"},
        {"node_name": "a b"},
        {"node_name": "localhost"},
        {"node_name": "0123456789abcdef" * 2},
        {"labels": {"a b": ""}},
        {"labels": {"a": "x,y"}},
        {"labels": {"a": 1}},
        {"labels": {f"l{n}": "" for n in range(65)}},
        {"network": "moon"},
        {"head_heartbeat_timeout_s": 10.0},
        {"is_head_node": True},
    ],
)
def test_the_constructor_checks_every_field(wrong):
    with pytest.raises(ValueError, match=f"configuration: {next(iter(wrong))}"):
        SystemConfig(**wrong)


def test_presets_are_steps_that_leave_the_original_alone():
    one = SystemConfig.standalone()
    two = one.with_addr("a:1").with_passphrase("p")
    assert two.with_seeds(["b:2"]).seeds == two.with_seeds("b:2").seeds == ("b:2",)
    assert two.with_head_node().is_head_node
    assert two.with_head_addr("b:2").head_addr == "b:2"
    assert (one.addr, two.addr, two.passphrase) == (None, "a:1", "p")
    with pytest.raises(dataclasses.FrozenInstanceError):
        two.addr = "b:2"  # type: ignore[misc]


def test_seeds_and_labels_come_as_people_write_them(tmp_path):
    environ = {"PULSING_SEEDS": "a:1, [::1]:2,b.c:3", "PULSING_LABELS": "gpu,zone=eu"}
    config = load(tmp_path, environ)
    assert config.seeds == ("a:1", "[::1]:2", "b.c:3")
    assert config.labels == {"gpu": "", "zone": "eu"}
    (tmp_path / "pulsing.toml").write_text(
        'seeds = ["a:1"]\nnetwork = "wan"\n[labels]\ngpu = ""\nzone = "us"\n'
    )
    config = load(tmp_path)
    assert config.seeds == ("a:1",)
    assert config.labels == {"gpu": "", "zone": "us"}
    assert config.network == "wan"
    assert SystemConfig(seeds="a:1,b:2", labels=["gpu", "x=1"]) == SystemConfig(
        seeds=("a:1", "b:2"), labels={"gpu": "", "x": "1"}
    )


def test_a_head_is_not_a_worker_and_a_worker_has_no_seeds(tmp_path):
    with pytest.raises(ValueError, match="is_head_node and head_addr"):
        SystemConfig(addr="a:1", is_head_node=True, head_addr="b:2")
    with pytest.raises(ValueError, match="seeds and head_addr"):
        SystemConfig(addr="a:1", seeds=("c:3",), head_addr="b:2")
    with pytest.raises(ValueError, match="is_head_node and seeds"):
        SystemConfig(addr="a:1", seeds=("c:3",)).with_head_node()
    with pytest.raises(ValueError, match="seeds and head_addr"):
        load(tmp_path, {"PULSING_HEAD_ADDR": "b:2"}, addr="a:1", seeds=["c:3"])


@pytest.mark.parametrize(
    ("settings", "listens"),
    [
        ({}, None),
        ({"addr": "a:1", "seeds": ["b:2"]}, "a:1"),
        ({"seeds": ["127.0.0.1:1", "localhost:2", "[::1]:3"]}, "127.0.0.1:0"),
        ({"seeds": ["127.0.0.1:1", "10.0.0.1:2"]}, "0.0.0.0:0"),
        ({"head_addr": "head.example:1"}, "0.0.0.0:0"),
    ],
)
def test_a_node_that_joins_others_has_a_port(settings, listens):
    assert SystemConfig(**settings).listen_addr == listens


def test_a_configuration_with_labels_is_a_key_of_dictionaries():
    assert {SystemConfig(labels={"gpu": ""}): 1}[SystemConfig(labels={"gpu": ""})] == 1
