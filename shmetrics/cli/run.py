# SPDX-License-Identifier: Apache-2.0
"""`shmetrics run`: run a program, and take the metric lines out of what it prints."""

from __future__ import annotations

import argparse
import contextlib
import os

from shmetrics.errors import ConfigError

SUMMARY = "run a program, hand its output on as it is, and record the metric lines in it"
EXAMPLE = "shmetrics run --unit backup -- /usr/local/bin/backup --all"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    line_arguments(parser, "the name of the program's file")
    parser.add_argument(
        "command",
        nargs=argparse.REMAINDER,
        metavar="-- COMMAND",
        help="the program and its arguments; its exit status becomes that of this command",
    )


def line_arguments(parser: argparse.ArgumentParser, default: str) -> None:
    """Add the flags about lines that `run` and `push` share; default: of the unit's name."""
    parser.add_argument(
        "--unit", metavar="NAME", help=f"whose metrics these are; default: {default}"
    )
    parser.add_argument(
        "--typed",
        action="store_true",
        help="take only lines with the word type=metric; default: also lines in which every word "
        "is name=number",
    )


def run(options: argparse.Namespace) -> int:
    """Run the program to its end, and return its exit status."""
    from shmetrics.push.run import run
    from shmetrics.push.session import Session

    command = options.command[options.command[:1] == ["--"] :]
    if not command:
        raise ConfigError("no program is named; write shmetrics run -- COMMAND")
    unit = options.unit or os.path.basename(command[0])
    environment = dict(os.environ)
    os.environ.setdefault("SHMETRICS_PROCESS", unit)  # ours, and not the program's
    session = Session(unit, bool(options.unit), options.typed, _tell)
    try:
        return run(command, environment, session.stream)
    finally:
        session.finish()


def _tell(text: str) -> None:
    """Say one line on STDERR, which is the program's otherwise, in one piece."""
    with contextlib.suppress(OSError):  # it may be closed
        os.write(2, f"shmetrics run: {text}\n".encode())
