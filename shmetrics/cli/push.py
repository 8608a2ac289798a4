# SPDX-License-Identifier: Apache-2.0
"""`shmetrics push`: take the metric lines out of what comes through a pipe."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from shmetrics.cli.run import line_arguments

if TYPE_CHECKING:
    from shmetrics.push.sink import Sink

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
        # A program's STDERR is its own under `shmetrics run`; here it is ours.
        for text in problems(session.sink):
            print(f"shmetrics push: {text}", file=sys.stderr)
    return 0


def problems(sink: Sink) -> Iterator[str]:
    """Yield a line on each reason for which lines were refused, and on a gatherer that refuses."""
    from shmetrics.push.sink import where_lines_go

    if sink.refusal:
        yield where_lines_go(sink.refusal)
    for reason, example in sink.examples.items():
        yield f"refused as {reason}: {sink.results[reason]} lines, the first: {example}"
