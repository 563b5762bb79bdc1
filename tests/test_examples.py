"""The examples of clusters run by themselves; the manifest starts nodes as the command does."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pulsing.cli import main as pulsing

REPOSITORY = Path(__file__).resolve().parent.parent
KUBERNETES = REPOSITORY / "deploy" / "kubernetes" / "pulsing.yaml"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "seeds",
            [
                "node-a is Alive, node-b is Alive, program is Alive",
                "worker@node-b: on node-b",
                "in turn on node-a, node-b",
                "always on the same 1 node",
                "where the GPU is, on node-b",
                "node-a   | exited with 0",
                "node-b   | exited with 0",
            ],
        ),
        (
            "head",
            [
                "worker@worker-1: on worker-1",
                "in turn on head, worker-1",
                "head is Alive, program is Alive, worker-1 is Alive",
                "head     | exited with 0",
                "worker-1 | exited with 0",
            ],
        ),
        (
            "own_process",
            [
                "21 * 2 = 42, on device 0",
                "piece | by | piece",
                "it crashed: was killed by SIGABRT",
                "it runs again, in another process: True",
            ],
        ),
        (
            "exits",
            [
                "both guests were greeted",
                "a guest is gone: normal",
                "a guest is gone: error PulsingSystemError: stumbled",
                "the greeter is gone: node_down",
                "its name stands for nobody",
            ],
        ),
        (
            "behavior_counter",
            [
                "counted to 5",
                "refused: actors/counter takes Increment | Reset | Get, not str",
                "reset to 0",
            ],
        ),
        (
            "agent",
            [
                "idle: hears 'why'",
                "thinking: has it, with 1 more to come",
                "answering: done: why is a good question\nidle: hears 'how'",
                "thinking: has it, with 0 more to come",
                "answering: done: how is a good question\nidle: falls asleep",
                "the agent sleeps: normal",
            ],
        ),
        ("ping", ["pong     | ping 3 from", "pong 3", "ping has finished", "exited with 0"]),
    ],
)
def test_an_example_runs_by_itself(name: str, says: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"examples.{name}"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    for text in says:
        assert text in done.stdout, done.stdout


@pytest.fixture
def manifest() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    return {each["kind"]: each for each in yaml.safe_load_all(KUBERNETES.read_text("utf-8"))}


def test_the_service_gives_the_addresses_of_all_pods_ready_or_not(
    manifest: dict[str, Any],
) -> None:
    service, pods = manifest["Service"]["spec"], manifest["StatefulSet"]["spec"]
    assert service["clusterIP"] == "None"
    assert service["publishNotReadyAddresses"] is True
    assert service["selector"] == pods["selector"]["matchLabels"]
    assert pods["serviceName"] == manifest["Service"]["metadata"]["name"]
    assert pods["podManagementPolicy"] == "Parallel"


def test_the_pods_start_nodes_as_the_command_takes_them(
    manifest: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod = manifest["StatefulSet"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    facts = {"POD_NAME": "pulsing-0", "POD_NAMESPACE": "default", "POD_IP": "10.0.0.7"}
    assert {each["name"] for each in container["env"]} == set(facts)
    arguments = [
        re.sub(r"\$\((\w+)\)", lambda match: facts[match[1]], each) for each in container["args"]
    ]
    (tmp_path / "passphrase").write_text("p" * 32)
    arguments = [
        each.replace("/etc/pulsing", str(tmp_path)) for each in arguments if "--import" not in each
    ]
    assert shlex.join(container["command"]) == "python -m pulsing node"
    seen: list[Any] = []
    monkeypatch.setattr("pulsing.logs.configure", lambda *_: None)
    monkeypatch.setattr("pulsing.cli.serving.run", lambda *given: seen.append(given) or 0)
    monkeypatch.chdir(tmp_path)
    assert pulsing(["node", *arguments]) == 0
    config, _, grace_s = seen[0]
    assert config.addr == "0.0.0.0:8000"
    assert config.advertise == "10.0.0.7"
    assert config.seeds == ("pulsing.default.svc.cluster.local:8000",)
    assert config.node_name == "pulsing-0"
    assert config.passphrase == "p" * 32
    assert grace_s < pod["terminationGracePeriodSeconds"]
    port = container["ports"][0]["containerPort"]
    assert str(port) == config.addr.rpartition(":")[2]


def test_the_probes_ask_what_a_node_answers_and_wait_for_no_other_node(
    manifest: dict[str, Any],
) -> None:
    (container,) = manifest["StatefulSet"]["spec"]["template"]["spec"]["containers"]
    paths = {
        kind: container[f"{kind}Probe"]["httpGet"]["path"]
        for kind in ("startup", "readiness", "liveness")
    }
    assert paths == {"startup": "/livez", "readiness": "/readyz", "liveness": "/livez"}
