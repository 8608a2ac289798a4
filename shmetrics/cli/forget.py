# SPDX-License-Identifier: Apache-2.0
"""`shmetrics forget`: removes a family from the collector's store."""

from __future__ import annotations

import argparse

from shmetrics.client import control

SUMMARY = "remove a metric with all its series and totals from the collector"
EXAMPLE = "shmetrics forget jobs_total"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("family", metavar="FAMILY", help="the metric's name, as /metrics has it")
    parser.add_argument(
        "--force",
        action="store_true",
        help="also if processes have it: their series begin again at zero",
    )
    parser.add_argument(
        "--runtime-dir",
        metavar="DIR",
        default="",
        help="the collector's; default: as an emitter finds it, $SHMETRICS_RUNTIME_DIR first",
    )


def run(options: argparse.Namespace) -> int:
    """Ask the collector to forget, and print what it says."""
    request = {"forget": options.family, "force": options.force}
    print(control.ask(request, options.runtime_dir))
    return 0
