# SPDX-License-Identifier: Apache-2.0
"""From the spans of a trace to its tree: who called whom, and what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from shmetrics.traces.reader import StoredSpan


class State(Enum):
    """How far a span has come."""

    DONE = "done"
    OPEN = "open"
    START_MISSING = "start missing"
    STOP_MISSING = "stop missing"  # what is around it has ended
    PROCESS_DIED = "process died"


@dataclass(eq=False)
class Node:
    """A span and what it called, in the order of their beginning. Equal to itself alone: to compare
    all that is below would take as many calls as it is deep.

    is_orphan: it names a parent that is not here, or that is below itself; so it is one of those at
    the top.
    """

    span: StoredSpan
    state: State
    is_orphan: bool = False
    children: list[Node] = field(default_factory=list, repr=False)


def tree(spans: Sequence[StoredSpan]) -> list[Node]:
    """Those at the top, in the order of their beginning. Spans that are each other's ancestors are
    parted at the one that began first."""
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
        if id not in reached:  # in a circle, or below one
            first = _first_of_circle(nodes, id)
            nodes[first.span.parent].children.remove(first)
            first.is_orphan = True
            top.append(first)
            reached.update(node.span.id for node in walk([first]))
    top.sort(key=lambda node: _when(node.span))
    _mark_stops_missing(top)
    return top


def _first_of_circle(nodes: Mapping[bytes, Node], id: bytes) -> Node:
    """Up from this span, whose every ancestor is here, until one comes again."""
    seen: dict[bytes, int] = {}
    while id not in seen:
        seen[id] = len(seen)
        id = nodes[id].span.parent
    circle = list(seen)[seen[id] :]
    return min((nodes[one] for one in circle), key=lambda node: _when(node.span))


def walk(nodes: Iterable[Node]) -> Iterable[Node]:
    """All of them and all below, each before what it called."""
    left = list(nodes)[::-1]
    while left:
        node = left.pop()
        yield node
        left.extend(reversed(node.children))


def _when(span: StoredSpan) -> tuple[int, bytes]:
    start_ns = span.stop_ns if span.start_ns is None else span.start_ns
    return start_ns or 0, span.id


def _state(span: StoredSpan) -> State:
    if span.stop_ns is None:
        return State.PROCESS_DIED if span.has_died else State.OPEN
    return State.DONE if span.start_ns is not None else State.START_MISSING


def _mark_stops_missing(top: list[Node]) -> None:
    """In one lane nothing outlasts what is around it. Of what came another way nobody knows which
    process it is of."""
    for node in walk(top):
        for child in node.children:
            if (
                child.state is State.OPEN
                and node.state is not State.OPEN
                and child.span.lane == node.span.lane != 0
            ):
                child.state = State.STOP_MISSING
