# SPDX-License-Identifier: Apache-2.0
"""`shmetrics calls`: the calls of this node that are open, and those that have failed lately."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from shmetrics.cli.columns import table
from shmetrics.cli.lane_text import halts_of
from shmetrics.client import collector_client
from shmetrics.figures import NONE, seconds

if TYPE_CHECKING:
    from shmetrics.cli.open_call import FailedCall, OpenCall

SUMMARY = "list the calls that are open, the oldest first, and those that have failed lately"
EXAMPLE = "shmetrics calls --overdue"

COLUMNS = (
    *("side", "topic", "method", "server", ">age", ">timeout", "problem"),
    *("process", ">pid", "trace"),
)
FAILED_COLUMNS = (
    *("failed at", "side", "topic", "method", "server", ">after", "reason"),
    *("process", ">pid", "trace"),
)
FEW = 10  # failed calls and halted processes, below the open calls


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    collector_client.argument(parser)
    parser.add_argument(
        "--overdue", action="store_true", help="only those that are older than their own timeout"
    )
    parser.add_argument(
        "--failed",
        action="store_true",
        help="only those that have timed out or failed, up to 200, the latest first",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="everything that is known of open calls, or with --failed of those, as JSON",
    )


def run(options: argparse.Namespace) -> int:
    """Print the calls. Raises Unreachable if there is no collector."""
    collector = collector_client.find(options.runtime_dir, options.http_config)
    if options.json:
        _print_json(collector, options)
        return 0
    tables = []
    if not options.failed:
        calls = open_calls(collector, options.overdue)
        none = "no overdue calls" if options.overdue else "no open calls"
        tables.append(table(COLUMNS, map(cells, calls)) if calls else none)
        tables += halted(collector)
    if not options.overdue:
        failed = failed_calls(collector)
        if failed or options.failed:
            tables.append(_failed_text(failed, len(failed) if options.failed else FEW))
    print("\n\n".join(tables))
    return 0


def open_calls(
    collector: collector_client.CollectorClient, only_overdue: bool = False
) -> list[OpenCall]:
    """Return the open calls, the oldest first. Raises Unreachable."""
    import msgspec

    from shmetrics.cli.open_call import OpenCall

    calls = msgspec.json.decode(collector.get("/api/v1/calls"), type=list[OpenCall])
    return [call for call in calls if call.is_overdue or not only_overdue]


def halted(collector: collector_client.CollectorClient) -> list[str]:
    """Return lines on processes that do not run, as one text; none if all run. Raises Unreachable.

    What waits for such a process need not be a call of this node, nor one that is open: a cast ends
    when it is sent.
    """
    lanes = collector.get_json("/api/v1/lanes")
    lines = [line for lane in lanes for line in halts_of(lane)]
    if len(lines) > FEW:
        lines[FEW:] = [f"and {len(lines) - FEW} more: shmetrics lanes shows them"]
    return ["\n".join(lines)] if lines else []


def failed_calls(collector: collector_client.CollectorClient) -> list[FailedCall]:
    """Return the calls that have failed lately, the latest first. Raises Unreachable."""
    import msgspec

    from shmetrics.cli.open_call import FailedCall

    return msgspec.json.decode(collector.get("/api/v1/failed_calls"), type=list[FailedCall])


def cells(call: OpenCall) -> Sequence[str]:
    """Return the row of an open call."""
    return (
        *(call.side, call.topic, call.method, call.server),
        *map(seconds, (call.age_seconds, call.timeout_seconds)),
        call.problem,
        *(call.process, call.pid_label, call.trace or NONE),
    )


def failed_cells(call: FailedCall) -> Sequence[str]:
    """Return the row of a call that has failed."""
    return (
        time.strftime("%Y-%m-%d %H:%M:%S%z", time.localtime(call.end)),
        *(call.side, call.topic, call.method, call.server),
        seconds(call.seconds),
        *(call.reason, call.process, call.pid_label, call.trace or NONE),
    )


def _failed_text(failed: Sequence[FailedCall], most: int) -> str:
    if not failed:
        return "no call has failed lately"
    text = table(FAILED_COLUMNS, map(failed_cells, failed[:most]))
    left = len(failed) - most
    return f"{text}\nand {left} more: --failed shows them" if left > 0 else text


def _print_json(collector: collector_client.CollectorClient, options: argparse.Namespace) -> None:
    import msgspec

    path = "/api/v1/failed_calls" if options.failed else "/api/v1/calls"
    found: Any = msgspec.json.decode(collector.get(path))
    if options.overdue and not options.failed:
        found = [call for call in found if call["is_overdue"]]
    print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
