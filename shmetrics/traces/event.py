# SPDX-License-Identifier: Apache-2.0
"""A span event: what a process says when a span begins, and when it ends."""

from __future__ import annotations

from typing import Any, NamedTuple


class SpanLabels(NamedTuple):
    """What spans of one series have in common: the label values of their family, in this order."""

    name: str  # "rpc", "db": without -start and -stop
    service: str
    project: str
    host: str


class SpanEvent(NamedTuple):
    """A span has begun or ended, as its process said it."""

    is_start: bool
    id: bytes  # 16 bytes, as are the next two
    trace: bytes  # OSProfiler's base id
    parent: bytes  # the span around it, or the trace itself
    name: str
    service: str
    project: str
    host: str
    unix_ns: int  # when, by the node's wall clock
    info: dict[str, Any]  # what is known of it; {} if nothing
    cut: str  # why not all that was to be said is in info; "" if it is
    lane: int  # of this node; 0: it came another way
