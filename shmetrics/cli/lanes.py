# SPDX-License-Identifier: Apache-2.0
"""`shmetrics lanes`: the connected processes, and what they have recorded."""

from __future__ import annotations

import argparse

from shmetrics.cli.columns import table
from shmetrics.cli.lane_text import problems_of, state_of
from shmetrics.client import collector_client

SUMMARY = "show which processes are connected, and what they have recorded"
EXAMPLE = "shmetrics lanes --json | jq '.[] | select(.dropped > 0)'"

_COLUMNS = (
    *(">lane", "process", ">pid", ">uid", "state", ">events"),
    *(">fill", ">spilled", ">dropped", ">refused", ">open calls"),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    collector_client.argument(parser)
    parser.add_argument("--json", action="store_true", help="everything that is known, as JSON")


def run(options: argparse.Namespace) -> int:
    """Print one line per lane, and what is wrong with it; or the collector's JSON."""
    collector = collector_client.find(options.runtime_dir, options.http_config)
    if options.json:
        print(collector.get("/api/v1/lanes").decode())
        return 0
    lanes = collector.get_json("/api/v1/lanes")
    rows = [
        (
            *(lane[name] for name in ("lane", "process", "pid_label", "uid")),
            *(state_of(lane), lane["events"]),
            f"{lane['fill']:.0%}",
            *(lane[name] for name in ("spilled", "dropped")),
            sum(lane["refused"].values()),
            lane["open_calls"],
        )
        for lane in lanes
    ]
    print(table(_COLUMNS, rows) if rows else "no process has registered yet")
    for lane in lanes:
        for problem in problems_of(lane):
            print(problem)
    return 0
