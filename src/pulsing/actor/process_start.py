"""How the process of an actor starts: what it is told, and how it becomes a place for its class.

Nothing is forked: a new interpreter gets the module path, the arguments and the directory of this
one, imports the module of the actor's class, and then talks over the sockets it inherited. Only a
class of a script, or arguments made of one, need the script itself: it is run as `multiprocessing`
would, under the name ``__mp_main__``, so that what stands below ``if __name__ == "__main__":`` is
not run again.
"""

from __future__ import annotations

import importlib
import importlib.util
import multiprocessing.spawn
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from pulsing.actor.main_guard import running_main_again
from pulsing.errors import PulsingRuntimeError, PulsingUnsupportedError
from pulsing.wire.lookup import MAIN, find_class, findable, wire_name

if TYPE_CHECKING:
    from types import FrameType

    from pulsing.config import SystemConfig

_LENGTH: Final = struct.Struct(">Q")
_ROOT: Final = Path(__file__).resolve().parents[2]
_ENTRY: Final = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from pulsing.actor.process_child import main; main(int(sys.argv[2]), int(sys.argv[3]))"
)
_PR_SET_PDEATHSIG: Final = 1  # prctl(2)
_PREPARATIONS: Final = ("sys_path", "sys_argv", "dir", "orig_dir", "init_main_from_path")


@dataclass(frozen=True, slots=True)
class ClassSource:
    """Where another process finds a class.

    Attributes:
        name: ``module:qualified.name``.
        path: the file of its module, for one that cannot be imported by its name.
    """

    name: str
    path: str | None

    @classmethod
    def of(cls, owner: type[Any]) -> ClassSource:
        """Where to find a class.

        Raises:
            PulsingUnsupportedError: another process cannot have it; says what to do.
        """
        name = wire_name(owner)
        if not findable(owner):
            raise PulsingUnsupportedError(
                f"executor='process' for {name}, which cannot be found by its name: it is made "
                "inside a function; move the class to the top of its module"
            )
        module_name = name.partition(":")[0]
        module = sys.modules.get(module_name) or sys.modules[MAIN]
        path = cast("str | None", getattr(module, "__file__", None))
        if module_name == MAIN and path is None:
            raise PulsingUnsupportedError(
                f"executor='process' for {owner.__qualname__}, which is defined in an interactive "
                "session, where another process cannot find it; move it into a module"
            )
        return cls(name, path)

    @property
    def is_of_main(self) -> bool:
        """Whether it is defined in the script that runs."""
        return self.name.partition(":")[0] == MAIN

    def load(self) -> type[Any]:
        """The class, in another process; imports its module. Raises what the import raises."""
        module_name = self.name.partition(":")[0]
        if not self.is_of_main:
            try:
                importlib.import_module(module_name)
            except ModuleNotFoundError as error:
                if self.path is None or not f"{module_name}.".startswith(f"{error.name}."):
                    raise
                _load_file(module_name, self.path)
        found = find_class(self.name)
        if found is None:
            raise PulsingRuntimeError(f"there is no {self.name} in the process of its actor")
        return found


@dataclass(frozen=True, slots=True)
class Birth:
    """What a process is told when it starts.

    Attributes:
        source: where the class of its actor is.
        config: of the node.
        node_id: of the node.
        node_addr: where others reach the node, or None.
        parent: the id of the operating system for the process of the node.
        preparation: for `multiprocessing.spawn.prepare`.
    """

    source: ClassSource
    config: SystemConfig
    node_id: str
    node_addr: str | None
    parent: int = field(default_factory=os.getpid)
    preparation: Mapping[str, Any] = field(default_factory=dict[str, Any])


def preparation(*, with_main: bool) -> dict[str, Any]:
    """What makes an interpreter like this one, for `Birth`.

    Args:
        with_main: run the script, too.
    """
    known: Mapping[str, Any] = multiprocessing.spawn.get_preparation_data("pulsing")
    wanted: dict[str, Any] = {name: known[name] for name in _PREPARATIONS if name in known}
    if not with_main:
        wanted.pop("init_main_from_path", None)
    return wanted


# --- in the node ----------------------------------------------------------------------------------


def start_process(
    birth: Birth, env: Mapping[str, str | None], label: str
) -> tuple[subprocess.Popen[bytes], socket.socket, socket.socket]:
    """Start the process of an actor.

    Call it on the thread of the loop: where that ends without a goodbye, so does the process.

    Args:
        birth: what it is told.
        env: variables of its environment besides those of this process; None: without it.
        label: of its actor, to be seen in lists of processes.

    Returns:
        The process, a socket for calls of it and one for calls from it.

    Raises:
        PulsingUnsupportedError: not on this operating system.
        OSError: it cannot be started; nothing is left.
    """
    if sys.platform == "win32":
        raise PulsingUnsupportedError("executor='process' needs Unix sockets, which Windows lacks")
    environ = dict(os.environ)
    for name, value in env.items():
        if value is None:
            environ.pop(name, None)
        else:
            environ[name] = value
    ours, theirs = socket.socketpair()
    calls, answers = socket.socketpair()
    try:
        inherited = (theirs.fileno(), answers.fileno())
        command = [
            sys.executable,
            *_interpreter_flags(),
            "-c",
            _ENTRY,
            str(_ROOT),
            *map(str, inherited),
            label,
        ]
        process = subprocess.Popen(  # noqa: S603 - this interpreter
            command, stdin=subprocess.DEVNULL, pass_fds=inherited, env=environ
        )
    except BaseException:
        ours.close()
        calls.close()
        raise
    finally:
        theirs.close()
        answers.close()
    try:
        octets = pickle.dumps(birth)
        ours.sendall(_LENGTH.pack(len(octets)) + octets)
    except BrokenPipeError:
        pass  # it has ended already, which its watcher notices
    return process, ours, calls


def _interpreter_flags() -> list[str]:
    """The options that this interpreter was started with, as `multiprocessing` passes them on."""
    give: Any = getattr(subprocess, "_args_from_interpreter_flags", list)
    return list(map(str, give()))


# --- in the process -------------------------------------------------------------------------------


def receive_birth(sock: socket.socket) -> Birth:
    """What `start_process` sent. Raises EOFError: the node has ended."""
    (length,) = _LENGTH.unpack(_read(sock, _LENGTH.size))
    return cast(Birth, pickle.loads(_read(sock, length)))  # noqa: S301 - of the parent process


def _read(sock: socket.socket, length: int) -> bytes:
    octets = sock.recv(length, socket.MSG_WAITALL) if length else b""
    if len(octets) < length:
        raise EOFError
    return octets


def die_with(parent: int) -> None:
    """End when the process of the node ends, however busy this one is. Where the system can."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise EOFError  # it has ended before this was asked for


def ignore_interrupts() -> None:
    """Ctrl-C goes to every process of the terminal; the node decides what becomes of its actors."""

    def ignored(_signal: int, _frame: FrameType | None) -> None:
        """Unlike SIG_IGN it is not inherited by programs that are started from here."""

    signal.signal(signal.SIGINT, ignored)


def prepare(birth: Birth) -> None:
    """Make this interpreter like that of the node. Raises what the script raises."""
    with running_main_again():
        multiprocessing.spawn.prepare(dict(birth.preparation))


def _load_file(name: str, path: str) -> None:
    """Import a module from its file, for one that is not on the path."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"no module named {name!r}, and {path} is none", name=name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
