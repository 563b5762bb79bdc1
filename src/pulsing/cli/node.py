"""``pulsing node``: one node as a process of its own.

Here are its options and what they mean together; ``serving`` runs it.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pulsing.cli.exits import CommandError, ExitCode

if TYPE_CHECKING:
    from pulsing.config import SystemConfig

DEFAULT_ADDR: Final = "127.0.0.1:8000"
DEFAULT_GRACE_S: Final = 25.0
_CONFIG_FILES: Final = ("pulsing.toml", "pyproject.toml")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.description = "Run a node. Prints one line when it is ready."
    parser.epilog = (
        "A first SIGTERM or SIGINT leaves the cluster, drains and exits 0; a second one ends the "
        "process at once with 128 + the signal's number."
    )
    parser.add_argument(
        "--addr",
        metavar="HOST:PORT",
        help="where to listen; port 0 picks one (default: the configuration, else "
        f"{DEFAULT_ADDR}, or with --seeds or --head-addr a free port)",
    )
    joining = parser.add_argument_group("the cluster")
    joining.add_argument(
        "--seeds",
        metavar="HOST:PORT[,...]",
        action="append",
        help="nodes to join; any that answers is enough (repeatable)",
    )
    joining.add_argument("--head", action="store_true", help="be the head of a cluster")
    joining.add_argument(
        "--head-addr", metavar="HOST:PORT", help="register with this head, instead of --seeds"
    )
    joining.add_argument(
        "--advertise",
        metavar="HOST[:PORT]",
        help="where others reach this node, if that is not where it listens",
    )
    joining.add_argument(
        "--name", metavar="NAME", help="a name for the node, unique in the cluster"
    )
    joining.add_argument(
        "--label",
        metavar="NAME[=VALUE][,...]",
        action="append",
        help="what actors can be placed by: placement='label:gpu' (repeatable)",
    )
    joining.add_argument(
        "--network",
        choices=("local", "lan", "wan"),
        help="timings of gossip: one machine, a data centre (default), or sites far apart",
    )
    parser.add_argument(
        "--import",
        dest="imports",
        metavar="PKG.MOD[:CLASS]",
        action="append",
        default=[],
        help="import a module and await its pulsing_setup(system); with :CLASS also spawn that "
        "class (repeatable)",
    )
    parser.add_argument(
        "--passphrase-file",
        metavar="FILE",
        type=Path,
        help="turn on mutual TLS with the passphrase in this file",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help="a pulsing.toml or pyproject.toml, or its directory (default: the working directory)",
    )
    parser.add_argument("--log-format", choices=("text", "json"), default="text")
    parser.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), default="info"
    )
    parser.add_argument(
        "--grace",
        metavar="SECONDS",
        type=_seconds,
        default=DEFAULT_GRACE_S,
        help="how long calls in flight may take after the first signal (default: %(default)g)",
    )


def run(options: argparse.Namespace) -> int:
    """Run the node until a signal ends it.

    Returns:
        0 after a drain, 130 or 143 when a signal came before the node was ready.

    Raises:
        CommandError: the options make no sense, or the node cannot start.
    """
    from pulsing import logs

    logs.configure(logs.LogFormat(options.log_format), options.log_level.upper())
    config = _configuration(options)
    from pulsing.cli import loading

    imports = [loading.load(spec) for spec in options.imports]
    from pulsing.cli import serving

    return serving.run(config, imports, options.grace)


def _configuration(options: argparse.Namespace) -> SystemConfig:
    from pulsing.config import SystemConfig

    arguments: dict[str, Any] = {
        "addr": options.addr,
        "seeds": _joined(options.seeds),
        "is_head_node": options.head or None,
        "head_addr": options.head_addr,
        "advertise": options.advertise,
        "node_name": options.name,
        "labels": _joined(options.label),
        "network": options.network,
    }
    if options.passphrase_file is not None:
        arguments["passphrase"] = _passphrase(options.passphrase_file)
    try:
        config = SystemConfig.load(directory=_config_directory(options.config), **arguments)
    except ValueError as error:
        raise CommandError(str(error), ExitCode.USAGE) from error
    return config if config.listen_addr is not None else config.with_addr(DEFAULT_ADDR)


def _joined(lists: list[str] | None) -> str | None:
    """What a repeatable option said, as the one text that the configuration takes."""
    return None if lists is None else ",".join(lists)


def _config_directory(path: Path | None) -> Path | None:
    if path is None or path.is_dir():
        return path
    if not path.exists():
        raise CommandError(f"--config {path}: no such file", ExitCode.USAGE)
    if path.name not in _CONFIG_FILES:
        raise CommandError(
            f"--config {path}: the file must be called {' or '.join(_CONFIG_FILES)}", ExitCode.USAGE
        )
    return path.parent


def _passphrase(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise CommandError(f"--passphrase-file {path}: {why}", ExitCode.USAGE) from error
    if not text:
        raise CommandError(f"--passphrase-file {path}: is empty", ExitCode.USAGE)
    return text


def _seconds(text: str) -> float:
    seconds = float(text)
    if not (math.isfinite(seconds) and seconds >= 0):
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds from 0 up")
    return seconds
