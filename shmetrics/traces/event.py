# SPDX-License-Identifier: Apache-2.0
"""A span event: the report of a process that a span has begun, or ended."""

from __future__ import annotations

from typing import Any, NamedTuple


class SpanLabels(NamedTuple):
    """The labels that the spans of one series share, in the order of their family's labels.

    Attributes:
        name: the kind of span, as "rpc" or "db", without OSProfiler's "-start" and "-stop".
        service: the service's name.
        project: the project's name.
        host: the host's name.
    """

    name: str
    service: str
    project: str
    host: str


class SpanEvent(NamedTuple):
    """The beginning or the end of a span, as its process reported it.

    Attributes:
        is_start: whether the span has begun.
        id: the span's id, 16 bytes.
        trace: the trace's id, 16 bytes; OSProfiler calls it base id.
        parent: the id of the span around it, 16 bytes; the trace's id if there is none.
        name: as in SpanLabels, like the next three.
        service: the service's name.
        project: the project's name.
        host: the host's name.
        unix_ns: when it was, by the node's wall clock.
        info: what is known of the span; {} for nothing.
        cut: the reason why info is not complete; "" if it is.
        lane: the id of the lane, on this node; 0 if the event did not come through a lane.
    """

    is_start: bool
    id: bytes
    trace: bytes
    parent: bytes
    name: str
    service: str
    project: str
    host: str
    unix_ns: int
    info: dict[str, Any]
    cut: str
    lane: int
