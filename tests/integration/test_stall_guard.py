"""A node whose loop is held by an actor: its peers hear from it all the same."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from tests.integration import nodes
from tests.integration.listening import until
from tests.integration.test_tls_nodes import PASSPHRASE

HOLDER = """
import asyncio, json, sys, time
import pulsing as pul
from pulsing.actor.culprit import culprit_of
from pulsing.cluster.guard import StallGuard

peer, settings = sys.argv[1], json.loads(sys.argv[2])

@pul.remote
class Model:
    async def load(self, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            pass

async def main():
    system = await pul.ActorSystem.create(pul.SystemConfig(addr="127.0.0.1:0", **settings))
    model = await system.spawn(Model, name="model")
    ended = asyncio.get_running_loop().create_future()
    guard = StallGuard(
        system.loop,
        threshold_s=0.3,
        lease_s=1.0,
        wire=system.network().guard_wire(),
        peers=lambda: [peer],
        incarnation=lambda: 5,
        claim=lambda incarnation: json.dumps({"busy": incarnation}).encode(),
        on_stall_ended=ended.set_result,
        culprit=culprit_of,
    )
    guard.start()
    await asyncio.sleep(0.1)
    print("holding", flush=True)
    await model.load(2.5)
    print("turning", flush=True)
    print(json.dumps([await ended, guard.last_stall.as_dict()]), flush=True)
    await guard.close()
    await system.shutdown()

asyncio.run(main())
"""


@pytest.mark.one_loop
@pytest.mark.parametrize("settings", [{}, {"passphrase": PASSPHRASE}], ids=["cleartext", "tls"])
async def test_peers_hear_that_a_held_node_is_busy_while_it_is(settings: dict[str, str]) -> None:
    heard: list[tuple[float, int]] = []
    lost: list[str] = []

    def handler(peer_id: str, body: bytes, answer: Callable[[bytes], None]) -> None:
        heard.append((time.monotonic(), json.loads(body)["busy"]))
        answer(b"")

    async with nodes.system("127.0.0.1:0", **settings) as system:
        system.network().cluster_handler = handler
        system.network().on_link_lost = lost.append
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", HOLDER, str(system.addr), json.dumps(settings)),
            stdout=subprocess.PIPE,
        )
        assert child.stdout is not None
        assert await child.stdout.readline() == b"holding\n"
        began = time.monotonic()
        await until(lambda: heard)
        assert heard[0][0] - began < 1.5
        assert await child.stdout.readline() == b"turning\n"
        turned = time.monotonic()
        incarnation, stall = json.loads(await child.stdout.readline())
        assert await asyncio.wait_for(child.wait(), 10) == 0
        claims = [claim for _, claim in heard]
        assert claims == list(range(6, 6 + len(claims)))
        assert incarnation == claims[-1]
        times = [at for at, _ in heard]
        gaps = [later - earlier for earlier, later in zip(times, [*times[1:], turned], strict=True)]
        assert max(gaps) < 1.0, "the lease never ran out"
        assert stall["culprit"] == "actors/model.load"
        assert "in load" in stall["stack"]
        assert 2 < stall["duration_s"] < 6
        assert system.network().inbound == 0
        assert not lost
