# SPDX-License-Identifier: Apache-2.0
"""`shmetrics trace`: the list of the node's traces, or one of them as a tree."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from shmetrics.cli.columns import printable, table
from shmetrics.client import collector_client
from shmetrics.figures import seconds

SUMMARY = "show which traces there are, or one of them"
EXAMPLE = "shmetrics trace list --error --service nova"

_TRACES = ("started", "base id", "name", "service", ">duration", ">spans", ">open", ">errors")
_SPANS = (">after", ">duration", "span", "about", "service", "host", "note")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the two actions, list and show, and their flags."""
    actions = parser.add_subparsers(metavar="list|show", required=True, dest="action")
    listed = actions.add_parser("list", help="the newest traces")
    listed.add_argument("--service", default="", help="only those that this service took part in")
    listed.add_argument("--error", action="store_true", help="only those in which a span failed")
    listed.add_argument(
        "--min-duration", type=float, metavar="SECONDS", help="only those that took so long"
    )
    listed.add_argument("--limit", type=int, default=20, help="at most so many; default: 20")
    shown = actions.add_parser("show", help="one trace, as a tree")
    shown.add_argument("base_id", metavar="BASE_ID", help="as `list` shows it")
    for action in (listed, shown):
        collector_client.argument(action)
        action.add_argument("--json", action="store_true", help="all that is known, as JSON")


def run(options: argparse.Namespace) -> int:
    """Print one line per trace or per span, or the collector's JSON."""
    collector = collector_client.find(options.runtime_dir, options.http_config)
    path = _path(options)
    if options.json:
        print(collector.get(path).decode())
    elif options.action == "list":
        print(_list(collector.get_json(path)))
    else:
        print(_tree(collector.get_json(path)))
    return 0


def _path(options: argparse.Namespace) -> str:
    if options.action == "show":
        return f"/api/v1/traces/{quote(options.base_id, safe='')}"
    wanted = {
        "service": options.service,
        "error": "1" if options.error else "",
        "min_duration_seconds": options.min_duration,
        "limit": options.limit,
    }
    return "/api/v1/traces?" + urlencode({key: value for key, value in wanted.items() if value})


def _list(traces: Sequence[Mapping[str, Any]]) -> str:
    if not traces:
        return "no such traces"
    return table(
        _TRACES,
        (
            (
                trace["started"][:23],
                *(trace[name] for name in ("base_id", "name", "service")),
                seconds(trace["duration_seconds"]),
                *(trace[name] for name in ("spans", "open", "errors")),
            )
            for trace in traces
        ),
    )


def _tree(trace: Mapping[str, Any]) -> str:
    """Return a trace as a tree. Parents precede their children in it, so depths are known."""
    spans = trace["spans"]
    if not spans:
        return "no such trace"
    begun = min(_when(span) for span in spans)
    depths: dict[str, int] = {}
    rows = []
    for span in spans:
        depth = 0 if span["is_orphan"] else depths.get(span["parent_id"], -1) + 1
        depths[span["trace_id"]] = depth
        rows.append(
            (
                seconds((_when(span) - begun).total_seconds()),
                seconds(span["duration_seconds"]),
                "  " * min(depth, 40) + printable(span["name"]),
                span.get("about", ""),  # an older collector does not tell
                span["service"],
                span["host"],
                _note(span),
            )
        )
    return table(_SPANS, rows)


def _when(span: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(span["started"] or span["finished"])


def _note(span: Mapping[str, Any]) -> str:
    idle = span.get("idle_seconds")
    notes = [
        span["exception"],
        span["state"] if span["state"] != "done" else "",
        "its parent is not here" if span["is_orphan"] else "",
        f"its trace was idle for {seconds(idle)}" if idle else "",
        "cut" if span["is_cut"] else "",
    ]
    return ", ".join(note for note in notes if note)
