"""The addresses of seeds: names are looked up again and again, and every address is kept.

The part of joining that touches the operating system; what to do with the addresses is decided in
`joining_core`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, TypeAlias

from pulsing.addresses import join_host_port, split_host_port

from .joining_core import MAX_SEEDS

LookUp: TypeAlias = Callable[[str, int], list[str]]
"""All addresses of a host, as text, for a port. Blocks; raises OSError."""

_logger = logging.getLogger(__name__)
_TIMEOUT_S: Final = 3.0
_AT_A_TIME: Final = 8


class Seeds:
    """The configured seeds of a node.

    Args:
        seeds: ``HOST:PORT`` each; hosts are names, IPv4 addresses or IPv6 addresses in brackets.
        look_up: asks the operating system; another one in tests.
        timeout_s: how long one lookup is waited for.

    Raises:
        ValueError: names every seed that is no address to connect to, and why.
    """

    def __init__(
        self,
        seeds: Iterable[str],
        *,
        look_up: LookUp | None = None,
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        self._seeds = _parsed(seeds)
        self._look_up = look_up or _ask_the_system
        self._timeout_s = timeout_s
        self._known: dict[tuple[str, int], tuple[str, ...]] = {}
        self._running: dict[tuple[str, int], asyncio.Future[list[str]]] = {}
        self._troubles: dict[tuple[str, int], str] = {}

    def __len__(self) -> int:
        return len(self._seeds)

    async def resolve(self) -> tuple[str, ...]:
        """Every address of every seed as ``HOST:PORT``, in the order of the seeds, at most 256.

        A seed that cannot be looked up now has the addresses of the last time. Never raises; the
        log says what fails, once for each change.

        Cancellation: lookups that are under way end by themselves.
        """
        at_a_time = asyncio.Semaphore(_AT_A_TIME)

        async def one(seed: tuple[str, int]) -> None:
            async with at_a_time:
                await self._resolve_one(seed)

        names = [seed for seed in self._seeds if seed not in self._known or not _is_number(seed[0])]
        await asyncio.gather(*[one(seed) for seed in names])
        found = [addr for seed in self._seeds for addr in self._known.get(seed, ())]
        return tuple(dict.fromkeys(found))[:MAX_SEEDS]

    async def _resolve_one(self, seed: tuple[str, int]) -> None:
        host, port = seed
        if _is_number(host):
            self._known[seed] = (join_host_port(host, port),)
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                hosts = await asyncio.shield(self._answer(seed))
        except TimeoutError:
            self._failed(seed, f"no answer within {self._timeout_s:g} s")
        except (OSError, UnicodeError) as error:
            self._failed(seed, str(error))
        else:
            addresses = [join_host_port(each, port) for each in hosts if "%" not in each]
            if addresses:
                self._known[seed] = tuple(dict.fromkeys(addresses))
                if self._troubles.pop(seed, None) is not None:
                    _logger.info("seed %s resolves now: %s", _text(seed), ", ".join(addresses))
            else:
                self._failed(seed, "it has no address that can be used here")

    def _failed(self, seed: tuple[str, int], why: str) -> None:
        if self._troubles.get(seed) == why:
            return
        self._troubles[seed] = why
        kept = self._known.get(seed)
        instead = f"using {', '.join(kept)} of before" if kept else "the other seeds are used"
        _logger.warning(
            "seed %s cannot be looked up: %s; %s, and it is tried again", _text(seed), why, instead
        )

    def _answer(self, seed: tuple[str, int]) -> asyncio.Future[list[str]]:
        """The lookup under way, or a new one: a name server that hangs holds one thread a name."""
        running = self._running.get(seed)
        if running is not None:
            return running
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[str]] = loop.create_future()
        self._running[seed] = answer

        def finish(hosts: list[str], error: Exception | None) -> None:
            self._running.pop(seed, None)
            if answer.cancelled():
                return
            if error is None:
                answer.set_result(hosts)
            else:
                answer.set_exception(error)
                answer.exception()  # whoever asked may have given up: then it is no news

        def ask() -> None:
            hosts: list[str] = []
            problem: Exception | None = None
            try:
                hosts = self._look_up(*seed)
            except Exception as error:  # noqa: BLE001 - raised where the answer is awaited
                problem = error
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(finish, hosts, problem)

        # Not the loop's executor: the end of a program would wait for a hanging name server.
        threading.Thread(target=ask, name=f"pulsing-seed-{seed[0][:40]}", daemon=True).start()
        return answer


def _parsed(seeds: Iterable[str]) -> tuple[tuple[str, int], ...]:
    parsed: dict[tuple[str, int], None] = {}
    problems: list[str] = []
    for seed in seeds:
        try:
            host, port = split_host_port(seed)
        except ValueError as error:
            problems.append(str(error))
            continue
        if port:
            parsed[host, port] = None
        else:
            problems.append(f"not a seed: {seed!r}; port 0 is for listening only")
    if len(parsed) > MAX_SEEDS:
        problems.append(f"{len(parsed)} seeds are too many: {MAX_SEEDS} at most, and a few suffice")
    if problems:
        raise ValueError("seeds: " + "; ".join(problems))
    return tuple(parsed)


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _text(seed: tuple[str, int]) -> str:
    return join_host_port(*seed)


def _ask_the_system(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for _, _, _, _, address in found]
