# SPDX-License-Identifier: Apache-2.0
"""The command `shmetrics`: one module per subcommand, and the common parts here.

A subcommand is a module with SUMMARY, EXAMPLE, arguments(parser) and run(options) -> exit status.
It imports its dependencies in run(): the base package has none, and a missing one is reported in
one line.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from shmetrics.errors import ShmetricsError
from shmetrics.version import __version__

COMMANDS = (
    *("collector", "lanes", "calls", "trace", "notifications", "top"),
    *("forget", "check", "demo"),
    *("gather", "units", "spawner", "run", "push", "targets"),
)

# Packages that may be missing, by the name of their import, and the extra that installs each.
_EXTRAS = {
    **dict.fromkeys(
        (
            *("bcrypt", "h11", "jinja2", "msgspec", "numpy", "prometheus_client"),
            *("rich", "starlette", "tomli", "yaml"),
        ),
        "collector",
    ),
    **dict.fromkeys(("oslo_config", "oslo_messaging"), "oslo"),
    "osprofiler": "traces",
    "opentelemetry": "otlp",
    "cramjam": "remote-write",
    **dict.fromkeys(("google", "grpc"), "otlp-grpc"),
}

# The exit statuses that a shell reports for a program that was ended by SIGINT or SIGPIPE.
_INTERRUPTED = 130
_PIPE_CLOSED = 141


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Exit with one line, without the usage that argparse adds."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line, and return the exit status. Errors are one line on stderr.

    Args:
        argv: the arguments; None: those of the process.
    """
    argv = sys.argv[1:] if argv is None else argv
    # What other commands need is not loaded: a command is run many times, as `run` is.
    names = tuple(argv[:1]) if argv and argv[0] in COMMANDS else COMMANDS
    try:
        options = _parser(names).parse_args(argv)
    except SystemExit as done:  # --help, --version or a bad invocation; argparse has printed it
        return int(done.code or 0)
    try:
        status: int = options.run(options)
        if sys.stdout is not None:  # it was closed from the begin
            sys.stdout.flush()
        return status
    except ShmetricsError as error:
        return _fail(str(error), error.exit_status)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes stdout once more at its end, and must not fail then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _PIPE_CLOSED
    except ImportError as error:
        text = missing(error)
        return _fail(text, 1) if text else _internal(error)
    except Exception as error:
        return _internal(error)


def missing(error: ImportError) -> str:
    """Return one line on the package to install, or "" if the module is of none of our extras."""
    extra = _EXTRAS.get((error.name or "").partition(".")[0])
    return f"{error.name} is not installed; pip install 'shmetrics[{extra}]'" if extra else ""


def _fail(text: str, status: int) -> int:
    print(f"shmetrics: {text}", file=sys.stderr)
    return status


def _internal(error: Exception) -> int:
    if sys.flags.dev_mode:
        raise error
    return _fail(
        f"internal error: {type(error).__name__}: {error}; "
        "python -X dev -m shmetrics shows where, please report it",
        1,
    )


def _parser(names: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    """Return the parser that knows these commands."""
    parser = _Parser(
        prog="shmetrics",
        description="Metrics of this node's processes, through shared memory.",
        epilog="example: shmetrics collector --listen 127.0.0.1:9464",
    )
    parser.add_argument("--version", action="version", version=f"shmetrics {__version__}")
    commands = parser.add_subparsers(metavar="command", required=True)
    for name in names:
        command = import_module(f"shmetrics.cli.{name}")
        subparser = commands.add_parser(
            name,
            help=command.SUMMARY,
            description=f"{command.SUMMARY[0].upper()}{command.SUMMARY[1:]}.",
            epilog=f"example: {command.EXAMPLE}",
        )
        command.arguments(subparser)
        subparser.set_defaults(run=command.run)
    return parser
