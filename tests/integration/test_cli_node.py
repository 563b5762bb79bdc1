"""``python -m pulsing node`` as a shell, an init system or a person sees it."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from pathlib import Path

import pytest

import pulsing as pul
from pulsing.testing import NodeFailed, NodeProcess

SLOW = """
    import asyncio
    import pathlib
    import time

    import pulsing as pul

    @pul.remote
    class Slow:
        async def nap(self, seconds):
            pathlib.Path("started").touch()
            await asyncio.sleep(seconds)
            return "slept"

        async def stall(self):
            pathlib.Path("started").touch()
            time.sleep(60)

    async def pulsing_setup(system):
        await Slow.spawn(name="slow", system=system)
"""


def pulsing(*arguments: str, directory: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pulsing", *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def module(directory: Path, name: str, source: str) -> str:
    (directory / f"{name}.py").write_text(textwrap.dedent(source), encoding="utf-8")
    return name


def assert_one_line(text: str) -> None:
    assert text.endswith("\n"), text
    assert text.count("\n") == 1, text


async def wait_until_exists(path: Path, within_s: float = 5.0) -> None:
    import asyncio

    async with asyncio.timeout(within_s):
        while not path.exists():
            await asyncio.sleep(0.005)


def test_it_announces_itself_with_one_line_and_exits_0_on_sigterm() -> None:
    with NodeProcess() as node:
        host, port = node.addr.split(":")
        assert host == "127.0.0.1"
        assert int(port) > 0
        assert node.name
    assert node.exit_code == 0
    assert re.fullmatch(r"pulsing node \S+ ready on 127\.0\.0\.1:\d+ \(pid \d+\)\n", node.output)


def test_it_exits_0_on_sigint() -> None:
    with NodeProcess() as node:
        node.send_signal(signal.SIGINT)
        assert node.wait() == 0
    assert "Traceback" not in node.errors


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health"])
def test_it_serves_the_probes(path: str) -> None:
    with (
        NodeProcess() as node,
        urllib.request.urlopen(f"http://{node.addr}{path}", timeout=10) as answer,
    ):
        assert answer.status == 200


def test_a_system_port_in_use_is_one_line_that_says_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        addr = f"127.0.0.1:{taken.getsockname()[1]}"
        done = pulsing("node", "--addr", addr)
    assert done.returncode == 1
    assert_one_line(done.stderr)
    assert addr in done.stderr
    assert "--addr 127.0.0.1:0" in done.stderr
    assert not done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--addr", "nonsense"], 2, "HOST:PORT"),
        (["--addr", "127.0.0.1:99999"], 2, "65535"),
        (["--addr", "192.0.2.1:8000"], 1, "no interface"),
        (["--import", "not-a-module"], 2, "pkg.mod"),
        (["--import", "no_such_module"], 1, "no module 'no_such_module'"),
        (["--import", "json:NoSuchClass"], 1, "no class 'NoSuchClass'"),
        (["--passphrase-file", "missing"], 2, "No such file"),
        (["--config", "missing.toml"], 2, "no such file"),
        (["--seeds", "nowhere"], 2, "seeds: not an address"),
        (["--seeds", "a:1", "--head-addr", "b:2"], 2, "seeds and head_addr"),
        (["--head", "--head-addr", "b:2"], 2, "is_head_node and head_addr"),
        (["--name", "a b"], 2, "node_name"),
        (["--label", "a b"], 2, "labels"),
        (["--advertise", "0.0.0.0"], 2, "advertise"),
    ],
)
def test_what_cannot_start_says_so_in_one_line(
    arguments: list[str], code: int, says: str, tmp_path: Path
) -> None:
    done = pulsing("node", "--addr", "127.0.0.1:0", *arguments, directory=tmp_path)
    assert done.returncode == code, done.stderr
    assert_one_line(done.stderr)
    assert says in done.stderr


def test_a_module_that_fails_is_named_with_the_line_that_failed(tmp_path: Path) -> None:
    module(tmp_path, "broken", "x = 1\nx / 0\n")
    done = pulsing("node", "--addr", "127.0.0.1:0", "--import", "broken", directory=tmp_path)
    assert done.returncode == 1
    assert_one_line(done.stderr)
    assert "ZeroDivisionError" in done.stderr
    assert "broken.py:2" in done.stderr


def test_a_failing_set_up_ends_the_node(tmp_path: Path) -> None:
    module(tmp_path, "broken", "async def pulsing_setup(system):\n    raise OSError('no disk')\n")
    done = pulsing("node", "--addr", "127.0.0.1:0", "--import", "broken", directory=tmp_path)
    assert done.returncode == 1
    assert_one_line(done.stderr)
    assert "OSError: no disk" in done.stderr
    assert not done.stdout


def test_an_actor_that_fails_during_the_set_up_is_told_with_its_error(tmp_path: Path) -> None:
    source = """
    import pulsing as pul

    @pul.remote
    class Broken:
        async def on_start(self, actor_id):
            raise OSError("no disk")

    async def pulsing_setup(system):
        await system.spawn(Broken)
    """
    module(tmp_path, "broken", source)
    done = pulsing("node", "--addr", "127.0.0.1:0", "--import", "broken", directory=tmp_path)
    assert done.returncode == 1
    assert_one_line(done.stderr)
    assert "OSError: no disk" in done.stderr


def test_the_version_and_the_help_are_there() -> None:
    assert pulsing("--version").stdout == f"pulsing {pul.__version__}\n"
    shown = pulsing("node", "--help").stdout
    for option in (
        "--addr",
        "--import",
        "--passphrase-file",
        "--config",
        "--grace",
        "--log-format",
        "--seeds",
        "--head",
        "--head-addr",
        "--advertise",
        "--name",
        "--label",
        "--network",
    ):
        assert option in shown
    assert pulsing().returncode == 2
    assert pulsing("nonsense").returncode == 2


def test_a_second_signal_ends_a_node_whose_loop_is_stalled(tmp_path: Path) -> None:
    source = "import time\ndef pulsing_setup(system):\n    open('here', 'w').close()\n"
    module(tmp_path, "stalls", source + "    time.sleep(60)\n")
    command = [sys.executable, "-m", "pulsing", "node", "--addr", "127.0.0.1:0"]
    with subprocess.Popen(
        [*command, "--import", "stalls"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    ) as process:
        give_up_at = time.monotonic() + 10
        while not (tmp_path / "here").exists():
            assert time.monotonic() < give_up_at
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 128 + signal.SIGTERM
    assert "second signal" in errors


@pytest.mark.one_loop
async def test_calls_in_flight_finish_before_the_node_exits(tmp_path: Path) -> None:
    import asyncio

    module(tmp_path, "slow", SLOW)
    with NodeProcess(imports=["slow"], directory=tmp_path) as node:
        async with pul.running():
            slow = await pul.resolve(f"actor://{node.addr}/slow")
            nap = asyncio.ensure_future(slow.nap(0.5))
            await wait_until_exists(tmp_path / "started")
            node.send_signal(signal.SIGTERM)
            assert await nap == "slept"
        assert await asyncio.to_thread(node.wait) == 0


@pytest.mark.one_loop
async def test_a_call_longer_than_the_grace_period_is_cut_off(tmp_path: Path) -> None:
    import asyncio

    module(tmp_path, "slow", SLOW)
    with NodeProcess(imports=["slow"], directory=tmp_path, arguments=["--grace", "0.2"]) as node:
        async with pul.running():
            slow = await pul.resolve(f"actor://{node.addr}/slow")
            nap = asyncio.ensure_future(slow.nap(30))
            await wait_until_exists(tmp_path / "started")
            node.send_signal(signal.SIGTERM)
            with pytest.raises(pul.PulsingRuntimeError):
                await nap
        assert await asyncio.to_thread(node.wait) == 0


@pytest.mark.one_loop
async def test_a_named_class_is_spawned_under_its_name(tmp_path: Path) -> None:
    source = """
        import pulsing as pul

        @pul.remote
        class LlmRouter:
            async def ping(self):
                return "pong"
    """
    module(tmp_path, "llm", source)
    with NodeProcess(imports=["llm:LlmRouter"], directory=tmp_path) as node:
        async with pul.running():
            router = await pul.resolve(f"actor://{node.addr}/llm_router")
            assert await router.ping() == "pong"


def test_a_node_that_does_not_start_is_reported_with_what_it_said() -> None:
    with pytest.raises(NodeFailed, match="no module 'missing_module'") as caught:
        NodeProcess(imports=["missing_module"])
    assert caught.value.exit_code == 1


@pytest.mark.one_loop
async def test_a_node_joins_with_name_and_labels_and_says_goodbye_on_sigterm(
    tmp_path: Path,
) -> None:
    async with pul.running("127.0.0.1:0") as system:
        changes = system.events()
        arguments = ["--name", "n2", "--label", "gpu", "--label", "zone=eu"]
        arguments += ["--seeds", f"127.0.0.1:1,{system.addr}", "--network", "local"]
        with NodeProcess(arguments=arguments, directory=tmp_path) as node:
            assert node.name == "n2"
            async for event in changes:
                if event.member.info.name == "n2":
                    break
            assert event.member.info.labels == {"gpu": "", "zone": "eu"}
            assert event.member.info.addr == node.addr
            node.send_signal(signal.SIGTERM)
            async for event in changes:
                assert event.member.status is not pul.MemberStatus.DEAD
                if event.member.status is pul.MemberStatus.LEFT:
                    break
            import asyncio

            assert await asyncio.to_thread(node.wait) == 0


def test_a_node_whose_seeds_do_not_answer_is_ready_at_once_on_a_port_it_picks() -> None:
    command = [sys.executable, "-m", "pulsing", "node", "--seeds", "127.0.0.1:1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert re.match(r"pulsing node \S+ ready on 127\.0\.0\.1:\d+ ", line)
        process.terminate()
        assert process.wait(20) == 0
