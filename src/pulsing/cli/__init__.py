"""The ``pulsing`` command.

Owns: arguments, exit codes, and one-line errors. Must not know: how actors or links work; it calls
``ActorSystem`` like any program. Nothing heavy is imported before the command is known, because
the time from exec to ready is a promise. Read: ``exits``, ``node``, ``loading``, ``serving``.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from pulsing._version import __version__
from pulsing.cli import node
from pulsing.cli.exits import CommandError, ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CommandError", "ExitCode", "main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        argv: the arguments after the program's name; those of this process when not given.

    Raises:
        SystemExit: from argparse, after ``--help`` or ``--version`` (code 0) or for arguments that
            make no sense (code 2).
    """
    parser = _parser()
    options = parser.parse_args(argv)
    if options.command is None:
        parser.print_help(sys.stderr)
        return ExitCode.USAGE
    try:
        return node.run(options)
    except CommandError as error:
        sys.stderr.write(f"pulsing {options.command}: {error}\n")
        return error.code
    except KeyboardInterrupt:
        sys.stderr.write(f"pulsing {options.command}: interrupted\n")
        return ExitCode.INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pulsing",
        description="Distributed actors for Python.",
        epilog=(
            "Exit codes: 0 success, 1 the command failed, 2 wrong arguments, "
            "130 or 143 ended by a signal before it could finish."
        ),
    )
    parser.add_argument("--version", action="version", version=f"pulsing {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    node.add_options(commands.add_parser("node", help="run a node until SIGTERM or SIGINT"))
    return parser
