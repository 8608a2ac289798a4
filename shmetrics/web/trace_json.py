# SPDX-License-Identifier: Apache-2.0
"""Traces and spans as the JSON API shows them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from shmetrics.traces.about import about, idle_seconds
from shmetrics.traces.reader import StoredSpan, Trace
from shmetrics.traces.times import iso
from shmetrics.traces.tree import Node, tree, walk


def of_traces(traces: Sequence[Trace]) -> list[dict[str, object]]:
    """Return one dictionary per trace, in the order given."""
    return [
        {
            "base_id": str(uuid.UUID(bytes=trace.id)),
            "name": trace.name,
            "service": trace.service,
            "started": iso(trace.start_ns),
            "duration_seconds": trace.duration_ns / 1e9,
            "spans": trace.spans,
            "open": trace.open,
            "errors": trace.errors,
            "lost": trace.lost,
        }
        for trace in traces
    ]


def of_spans(spans: Sequence[StoredSpan]) -> list[dict[str, object]]:
    """Return one dictionary per span of a trace, each before the spans below it."""
    return [_of_node(node) for node in walk(tree(spans))]


def _of_node(node: Node) -> dict[str, object]:
    span = node.span
    return {
        "trace_id": str(uuid.UUID(bytes=span.id)),
        "parent_id": str(uuid.UUID(bytes=span.parent)),
        "name": span.name,
        "service": span.service,
        "project": span.project,
        "host": span.host,
        "started": iso(span.start_ns),
        "finished": iso(span.stop_ns),
        "duration_seconds": None if span.duration_ns is None else span.duration_ns / 1e9,
        "exception": span.exception,
        "about": about(span.start_info, span.stop_info),
        "idle_seconds": idle_seconds(span.start_info),
        "state": node.state.value,
        "is_orphan": node.is_orphan,
        "is_cut": span.is_cut,
        "start_info": span.start_info,
        "stop_info": span.stop_info,
    }
