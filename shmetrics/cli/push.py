# SPDX-License-Identifier: Apache-2.0
"""`shmetrics push`: take the metric lines out of what comes through a pipe."""

from __future__ import annotations

import argparse
import os

from shmetrics.cli.run import line_arguments

SUMMARY = "record the metric lines on STDIN, and hand all of it on to STDOUT as it is"
EXAMPLE = "shmetrics push --unit backup --quiet <backup.log"

_VARIABLE = "SHMETRICS_PROCESS"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    line_arguments(parser, f"${_VARIABLE}, or push")
    parser.add_argument("--quiet", action="store_true", help="hand nothing on")


def run(options: argparse.Namespace) -> int:
    """Copy until STDIN ends."""
    from shmetrics.push.pipe import copy
    from shmetrics.push.session import Session

    unit = options.unit or os.environ.get(_VARIABLE) or "push"
    os.environ.setdefault(_VARIABLE, unit)
    session = Session(unit, bool(options.unit), options.typed)
    try:
        copy(session.stream(), options.quiet)
    finally:
        session.finish()
    return 0
