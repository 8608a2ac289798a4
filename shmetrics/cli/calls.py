# SPDX-License-Identifier: Apache-2.0
"""`shmetrics calls`: the calls of this node that have begun and not ended."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from shmetrics.cli.columns import table
from shmetrics.client import collector_client
from shmetrics.figures import NONE, seconds

if TYPE_CHECKING:
    from shmetrics.cli.open_call import OpenCall

SUMMARY = "list the calls that are open: peer, age, timeout, process, trace; the oldest first"
EXAMPLE = "shmetrics calls --overdue"

COLUMNS = (
    *("side", "topic", "method", "server", ">age", ">timeout", "late"),
    *("process", ">pid", "trace"),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    collector_client.argument(parser)
    parser.add_argument(
        "--overdue", action="store_true", help="only those that are older than their own timeout"
    )
    parser.add_argument(
        "--json", action="store_true", help="everything that is known, with all labels, as JSON"
    )


def run(options: argparse.Namespace) -> int:
    """Print the open calls. Raises Unreachable if there is no collector."""
    import msgspec

    from shmetrics.cli.open_call import OpenCall

    body = collector_client.find(options.runtime_dir, options.http_config).get("/api/v1/calls")
    calls = msgspec.json.decode(body, type=list[OpenCall])
    wanted = [not options.overdue or call.is_overdue for call in calls]
    if options.json:
        raw = msgspec.json.decode(body, type=list[msgspec.Raw])
        shown = [call for call, is_wanted in zip(raw, wanted, strict=True) if is_wanted]
        print(msgspec.json.format(msgspec.json.encode(shown), indent=2).decode())
        return 0
    found = [call for call, is_wanted in zip(calls, wanted, strict=True) if is_wanted]
    print(table(COLUMNS, map(cells, found)) if found else "no open calls")
    return 0


def cells(call: OpenCall) -> Sequence[str]:
    """Return the row of a call."""
    return (
        *(call.side, call.topic, call.method, call.server),
        *map(seconds, (call.age_seconds, call.timeout_seconds)),
        call.lateness,
        *(call.process, call.pid_label, call.trace or NONE),
    )
