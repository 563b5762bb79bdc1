"""A node in a process of its own, as a test needs it: started, stopped, killed, frozen."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from io import TextIOWrapper

READY_LINE: Final = re.compile(
    r"pulsing node (?P<name>\S+) ready on (?P<addr>\S+) \(pid (?P<pid>\d+)\)"
)


class NodeFailed(AssertionError):
    """The node did not get ready, or did not end as it was asked to.

    Attributes:
        exit_code: of the process, or None while it runs.
        errors: what it wrote on standard error.
    """

    def __init__(self, message: str, exit_code: int | None, errors: str) -> None:
        super().__init__(f"{message} (exit code {exit_code}); standard error:\n{errors}")
        self.exit_code = exit_code
        self.errors = errors


class NodeProcess:
    """A ``python -m pulsing node`` that is ready when the constructor returns.

    Use it as a context manager: leaving it stops the node and checks that it exits 0, unless it was
    ended before.

    Args:
        addr: where it listens; port 0 picks one, see ``addr`` of the result.
        seeds: nodes to join.
        name: for people; default: made from its id.
        labels: for placement.
        imports: modules for ``--import``.
        arguments: more arguments of the command.
        environ: variables to add to this process's environment.
        directory: the node's working directory.
        prefix: what to put before the command, such as ``NamespaceNetwork.command``.
        pass_fds: open files that the node inherits.
        ready_within_s: how long the start may take.
        wait: False returns before it is ready; `wait_ready` must follow.

    Attributes:
        addr: ``HOST:PORT`` it listens on.
        name: the name it announced.
        pid: its process id.
        ready_after_s: seconds from exec to the ready line.

    Raises:
        NodeFailed: it ended, or was not ready in time; it is killed then.
    """

    def __init__(
        self,
        *,
        addr: str = "127.0.0.1:0",
        seeds: Sequence[str] = (),
        name: str | None = None,
        labels: Mapping[str, str] | None = None,
        imports: Sequence[str] = (),
        arguments: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        directory: str | os.PathLike[str] | None = None,
        prefix: Sequence[str] = (),
        pass_fds: Sequence[int] = (),
        ready_within_s: float = 20.0,
        wait: bool = True,
    ) -> None:
        self._command = [*prefix, sys.executable, "-m", "pulsing", "node", "--addr", addr]
        for each in imports:
            self._command += ["--import", each]
        self._command += arguments
        settings: dict[str, str] = {}
        if seeds:
            settings["PULSING_SEEDS"] = ",".join(seeds)
        if name is not None:
            settings["PULSING_NODE_NAME"] = name
        if labels:
            settings["PULSING_LABELS"] = ",".join(
                f"{key}={value}" if value else key for key, value in labels.items()
            )
        self._started = time.perf_counter()
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, **settings, **(environ or {})},
            cwd=directory,
            pass_fds=pass_fds,
        )
        self._output = _Lines(self._process.stdout)
        self._errors = _Lines(self._process.stderr)
        self.addr = addr
        self.name = name or ""
        self.pid = self._process.pid
        self.ready_after_s = 0.0
        if wait:
            self.wait_ready(ready_within_s)

    def wait_ready(self, within_s: float = 20.0) -> None:
        """Wait until it has announced itself.

        Raises:
            NodeFailed: it ended, or was not ready in time; it is killed then.
        """
        line = self._output.first(within_s)
        self.ready_after_s = time.perf_counter() - self._started
        match = READY_LINE.fullmatch(line or "")
        if match is None:
            self.kill()
            what = "ended" if line is None else f"said {line!r}" if line else "said nothing"
            raise NodeFailed(f"{' '.join(self._command)} {what}", self.exit_code, self.errors)
        self.addr = match["addr"]
        self.name = match["name"]
        self.pid = int(match["pid"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.exit_code is not None:
            self.kill()  # only closes the pipes
        elif kind is not None:
            self.kill()
        else:
            self.stop()

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for a signal; None while the node runs."""
        return self._process.poll()

    @property
    def errors(self) -> str:
        """What the node wrote on standard error so far."""
        return self._errors.text()

    @property
    def output(self) -> str:
        """What the node wrote on standard output so far, the ready line included."""
        return self._output.text()

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the node, if it still runs."""
        self._process.send_signal(number)

    def wait(self, within_s: float = 10.0) -> int:
        """Wait until the node ends.

        Raises:
            NodeFailed: it did not end in time; it is killed then.
        """
        try:
            code = self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise NodeFailed(
                f"not ended within {within_s} s", self.exit_code, self.errors
            ) from None
        self._close()
        return code

    def stop(self, within_s: float = 10.0) -> None:
        """SIGTERM, and wait until it drained and exited.

        Raises:
            NodeFailed: it did not end in time, or not with exit code 0.
        """
        self.resume()
        self._process.terminate()
        if (code := self.wait(within_s)) != 0:
            raise NodeFailed("did not stop cleanly", code, self.errors)

    def kill(self) -> None:
        """SIGKILL: the process is gone when this returns."""
        self._process.kill()
        self._process.wait()
        self._close()

    def pause(self) -> None:
        """SIGSTOP: freeze the process; its connections stay open and silent."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT: go on after `pause`."""
        if hasattr(signal, "SIGCONT"):
            self._process.send_signal(signal.SIGCONT)

    def _close(self) -> None:
        self._output.close()
        self._errors.close()


class _Lines:
    """Reads a pipe in a thread, so that a chatty process never blocks on it."""

    def __init__(self, pipe: object) -> None:
        self._pipe: TextIOWrapper = pipe  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._read, name="test-node-output", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._pipe:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def first(self, within_s: float) -> str | None:
        """The first line without its end; "" if none came in time, None if the pipe ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._lines or self._ended, within_s)
            if self._lines:
                return self._lines[0].rstrip("\n")
            return None if self._ended else ""

    def text(self) -> str:
        with self._changed:
            return "".join(self._lines)

    def close(self) -> None:
        self._thread.join(2.0)
        if not self._thread.is_alive():  # a grandchild may still hold the pipe
            self._pipe.close()
