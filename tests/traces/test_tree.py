# SPDX-License-Identifier: Apache-2.0
"""The tree of a trace: every span in it once, whatever their parents say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmetrics.traces.reader import StoredSpan
from shmetrics.traces.tree import Node, State, tree, walk

from .conftest import id_of

TRACE = 1000


def span(
    id: int, parent: int = TRACE, start: int | None = 0, stop: int | None = 1, **more: Any
) -> StoredSpan:
    rest = {"is_cut": False, "has_died": False, "lane": 1, "exception": None, **more}
    return StoredSpan(
        id_of(TRACE), id_of(id), id_of(parent), "rpc", "nova", "p", "h", start, stop, {}, {}, **rest
    )


def shape(nodes: list[Node]) -> Any:
    """Return the numbers of spans, each with those below it."""
    return [(int.from_bytes(node.span.id, "big"), shape(node.children)) for node in nodes]


numbers = st.integers(1, 12)


@given(st.dictionaries(numbers, st.tuples(numbers | st.just(TRACE), st.integers(0, 5))))
def test_every_span_is_there_once_and_below_its_parent_or_an_orphan(
    parents: dict[int, tuple[int, int]],
) -> None:
    spans = [span(id, parent, start) for id, (parent, start) in parents.items()]
    top = tree(spans)
    nodes = list(walk(top))
    assert sorted(node.span.id for node in nodes) == sorted(each.id for each in spans)
    for node in nodes:
        begun = [(child.span.start_ns, child.span.id) for child in node.children]
        assert begun == sorted(begun)
        assert all(child.span.parent == node.span.id for child in node.children)
        assert not any(child.is_orphan for child in node.children)
    here = {each.id for each in spans}
    for node in top:
        assert node.is_orphan == (node.span.parent != id_of(TRACE))
        assert node.is_orphan or node.span.parent not in here
    assert shape(top) == shape(tree(spans[::-1]))


@given(st.lists(st.integers(0, 11), min_size=1, max_size=12))
def test_where_there_is_no_circle_only_what_has_no_parent_here_is_at_the_top(
    picks: list[int],
) -> None:
    """Check spans with a parent among those before them, or at the top."""
    parents = [pick % (i + 1) for i, pick in enumerate(picks)]  # 0: the trace
    spans = [span(i, parent or TRACE, start=0) for i, parent in enumerate(parents, 1)]
    top = tree(spans)
    assert len(top) == parents.count(0)
    assert not any(node.is_orphan for node in top)


def test_a_circle_is_parted_at_the_one_that_began_first() -> None:
    spans = [span(1, 3, start=5), span(2, 1, start=2), span(3, 2, start=9), span(4, 3, start=1)]
    top = tree(spans)
    assert shape(top) == [(2, [(3, [(4, []), (1, [])])])]
    assert top[0].is_orphan


def test_its_own_parent() -> None:
    (node,) = tree([span(1, 1)])
    assert node.is_orphan
    assert not node.children


def test_states() -> None:
    spans = [
        span(1, stop=5),
        span(2, 1, stop=None),
        span(3, 2, stop=None),
        span(4, 1, start=None, stop=3),
        span(5, 1, stop=None, has_died=True),
        span(6, 1, stop=None, lane=2),
        span(7, stop=None),
        span(8, 7, stop=None),
        span(9, stop=5, lane=0),  # came another way, and may be of another process
        span(10, 9, stop=None, lane=0),
    ]
    states = {int.from_bytes(node.span.id, "big"): node.state for node in walk(tree(spans))}
    assert states == {
        1: State.DONE,
        2: State.STOP_MISSING,
        3: State.STOP_MISSING,
        4: State.START_MISSING,
        5: State.PROCESS_DIED,
        6: State.OPEN,
        7: State.OPEN,
        8: State.OPEN,
        9: State.DONE,
        10: State.OPEN,
    }


@pytest.mark.slow
def test_a_hundred_thousand_spans_in_each_other() -> None:
    """Check a line, one that ends in a circle, and a circle of them all."""
    low, high = 10_000, 110_000
    line = [span(low, start=0), *(span(i, i - 1, start=i) for i in range(low + 1, high))]
    into_a_circle = [span(low, low + 1, start=0), *line[1:]]
    circle = [span(low, high - 1, start=0), *line[1:]]
    for spans in (line, into_a_circle, circle):
        top = tree(spans)
        assert [node.span.id for node in walk(top)] == [each.id for each in spans]
        (first,) = top
        assert first.is_orphan == (spans is not line)
        assert repr(first)
        assert first != tree(spans)[0]
