# SPDX-License-Identifier: Apache-2.0
"""The tree of a trace, made of its spans: each below its caller, with gaps marked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from shmetrics.traces.reader import StoredSpan


class State(Enum):
    """The state of a span: its start and its stop are known, or the reason why one is not."""

    DONE = "done"
    OPEN = "open"
    START_MISSING = "start missing"
    STOP_MISSING = "stop missing"  # the span around it has ended
    PROCESS_DIED = "process died"


@dataclass(eq=False)
class Node:
    """A span and the spans that it called, in the order of their beginning.

    It is equal to itself only: comparing everything below would take as many nested calls as it is
    deep.

    Attributes:
        span: the span.
        state: how far it has come.
        is_orphan: whether it is at the top because its parent is missing, or below itself.
        children: the spans that it called.
    """

    span: StoredSpan
    state: State
    is_orphan: bool = False
    children: list[Node] = field(default_factory=list, repr=False)


def tree(spans: Sequence[StoredSpan]) -> list[Node]:
    """Return the spans at the top of the tree, in the order of their beginning.

    Spans that are each other's ancestors form a circle; it is opened at the one that began first.
    """
    nodes = {span.id: Node(span, _state(span)) for span in sorted(spans, key=_when)}
    top = []
    for node in nodes.values():
        parent = nodes.get(node.span.parent)
        if parent is None or parent is node:
            node.is_orphan = node.span.parent != node.span.trace
            top.append(node)
        else:
            parent.children.append(node)
    reached = {node.span.id for node in walk(top)}
    for id in nodes:
        if id not in reached:  # it is in a circle, or below one
            first = _first_of_circle(nodes, id)
            nodes[first.span.parent].children.remove(first)
            first.is_orphan = True
            top.append(first)
            reached.update(node.span.id for node in walk([first]))
    top.sort(key=lambda node: _when(node.span))
    _mark_stops_missing(top)
    return top


def _first_of_circle(nodes: Mapping[bytes, Node], id: bytes) -> Node:
    """Return the span that began first in a circle.

    Args:
        nodes: all nodes; every ancestor of the span is among them.
        id: a span in the circle, or below it.
    """
    seen: dict[bytes, int] = {}
    while id not in seen:
        seen[id] = len(seen)
        id = nodes[id].span.parent
    circle = list(seen)[seen[id] :]
    return min((nodes[each] for each in circle), key=lambda node: _when(node.span))


def walk(nodes: Iterable[Node]) -> Iterable[Node]:
    """Yield the nodes and all below, each before the ones that it called."""
    stack = list(nodes)[::-1]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(node.children))


def _when(span: StoredSpan) -> tuple[int, bytes]:
    """Return a key that sorts spans by their start, or by their stop if the start is missing."""
    start_ns = span.stop_ns if span.start_ns is None else span.start_ns
    return start_ns or 0, span.id


def _state(span: StoredSpan) -> State:
    """Return the state of a span by itself."""
    if span.stop_ns is None:
        return State.PROCESS_DIED if span.has_died else State.OPEN
    return State.DONE if span.start_ns is not None else State.START_MISSING


def _mark_stops_missing(top: list[Node]) -> None:
    """Mark open spans that are inside a span which has ended: their stop is missing.

    This holds within one lane only: of a span that did not come through a lane, the process is
    unknown.
    """
    for node in walk(top):
        for child in node.children:
            if (
                child.state is State.OPEN
                and node.state is not State.OPEN
                and child.span.lane == node.span.lane != 0
            ):
                child.state = State.STOP_MISSING
