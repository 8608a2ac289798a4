# SPDX-License-Identifier: Apache-2.0
"""The pages of traces: a list that can be narrowed, and the waterfall of one trace.

There is no script in them, and nothing from another host.
"""

from __future__ import annotations

import json
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from shmetrics.figures import seconds
from shmetrics.traces.about import about, idle_seconds
from shmetrics.traces.reader import StoredSpan, Trace
from shmetrics.traces.tree import Node, State, tree
from shmetrics.web import security_policy, templates
from shmetrics.web.trace_query import DEFAULT_TRACES

MAX_SPANS = 5000
COLOURS = 8  # classes c0 to c7 of style.css
_AXIS_WIDTH = 1000  # of the time axis, in units of its own
_MIN_BAR_WIDTH = 2
_MAX_INDENTS = 40
_INDENT_PIXELS = 14

HEADERS = security_policy.headers(form_action="'self'")


def listing(node: str, asked: Mapping[str, str], traces: Sequence[Trace]) -> bytes:
    """Make the list of traces.

    Args:
        node: The name of this node.
        asked: The query that the list was narrowed by, which its form shows again.
        traces: The last heard of first.
    """
    fields = ("service", "min_duration_seconds", "error", "limit")
    return templates.render(
        "traces.html",
        title="traces",
        node=node,
        asked={field: asked.get(field, "") for field in fields},
        default_limit=DEFAULT_TRACES,
        traces=traces,
    )


def waterfall(node: str, base_id: str, spans: Sequence[StoredSpan]) -> bytes:
    """Make the page of one trace: a bar for each of its first MAX_SPANS spans.

    Args:
        node: The name of this node.
        base_id: The trace's id, a UUID.
        spans: All spans of the trace in any order; none if there is no such trace.
    """
    begin_ns, end_ns = _extent(spans)
    colours = colours_of(span.service for span in spans)
    return templates.render(
        "trace.html",
        title=base_id,
        base_id=base_id,
        node=node,
        span_count=len(spans),
        max_spans=MAX_SPANS,
        seconds=(end_ns - begin_ns) / 1e9,
        colours=colours,
        axis_width=_AXIS_WIDTH,
        bars=_bars(spans, colours, begin_ns, end_ns),
    )


class _Bar(NamedTuple):
    """One row of the waterfall, as its template shows it.

    Attributes:
        about: What the span did.
        indent: Of the name, in pixels.
        notes: the faults of the span; empty if it has none.
        known: Everything that is known of the span, as JSON.
        kinds: Classes of style.css for the bar.
        x: the beginning of the bar, in units of the axis.
        width: the length of the bar, in units of the axis.
        took: The duration in words.
    """

    service: str
    name: str
    about: str
    colour: int
    indent: int
    notes: str
    known: str
    kinds: str
    x: str
    width: str
    took: str


def _extent(spans: Sequence[StoredSpan]) -> tuple[int, int]:
    """Return the first and the last time that was heard, in ns, at least 1 ns apart."""
    times = [at for span in spans for at in (span.start_ns, span.stop_ns) if at is not None]
    first_ns = min(times, default=0)
    return first_ns, max(max(times, default=0), first_ns + 1)


def colours_of(services: Iterable[str]) -> dict[str, int]:
    """Choose a colour for each service: the same on every page, unless another one has it."""
    found: dict[str, int] = {}
    for service in sorted(set(services)):
        own = zlib.crc32(service.encode()) % COLOURS
        nearest = ((own + n) % COLOURS for n in range(COLOURS))
        found[service] = next((one for one in nearest if one not in found.values()), own)
    return found


def _bars(
    spans: Sequence[StoredSpan], colours: Mapping[str, int], begin_ns: int, end_ns: int
) -> Iterator[_Bar]:
    for node, depth in _first_nodes(tree(spans)):
        yield _bar(node, depth, colours[node.span.service], begin_ns, end_ns)


def _first_nodes(top: Sequence[Node]) -> Iterator[tuple[Node, int]]:
    """Walk the first MAX_SPANS nodes, each before those below it, with their depth.

    A trace may be deeper than Python's stack, so this keeps its own.
    """
    left = [(node, 0) for node in reversed(top)]
    for _ in range(MAX_SPANS):
        if not left:
            return
        node, depth = left.pop()
        yield node, depth
        left.extend((child, depth + 1) for child in reversed(node.children))


def _bar(node: Node, depth: int, colour: int, begin_ns: int, end_ns: int) -> _Bar:
    span = node.span
    start_ns = span.start_ns if span.start_ns is not None else span.stop_ns or begin_ns
    stop_ns = span.stop_ns if span.stop_ns is not None else end_ns
    scale = _AXIS_WIDTH / (end_ns - begin_ns)
    x = min((start_ns - begin_ns) * scale, _AXIS_WIDTH - _MIN_BAR_WIDTH)
    kinds = [f"c{colour}"]
    kinds += ["open"] if span.stop_ns is None else []
    kinds += ["failed"] if span.exception else []
    duration_ns = span.duration_ns
    return _Bar(
        service=span.service,
        name=span.name,
        about=about(span.start_info, span.stop_info),
        colour=colour,
        indent=min(depth, _MAX_INDENTS) * _INDENT_PIXELS,
        notes=", ".join(_notes(node)),
        known=_known(span),
        kinds=" ".join(kinds),
        x=f"{x:.1f}",
        width=f"{max((stop_ns - start_ns) * scale, _MIN_BAR_WIDTH):.1f}",
        took=node.state.value if duration_ns is None else seconds(duration_ns / 1e9),
    )


def _notes(node: Node) -> Iterator[str]:
    if node.span.exception:
        yield node.span.exception
    if node.state is not State.DONE:
        yield node.state.value
    if node.is_orphan:
        yield "its parent is not here"
    idle = idle_seconds(node.span.start_info)
    if idle is not None:
        yield f"its trace was idle for {seconds(idle)}"
    if node.span.is_cut:
        yield "cut"


def _known(span: StoredSpan) -> str:
    said = {"span": str(uuid.UUID(bytes=span.id)), "host": span.host, "project": span.project}
    known: dict[str, Any] = {**said, "start": span.start_info, "stop": span.stop_info}
    return json.dumps(known, indent=1, ensure_ascii=False)
