# SPDX-License-Identifier: Apache-2.0
"""The index of a family's series, against a dictionary of rows by label values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shmetrics.store.series_index import OVERFLOW_ROW, SeriesIndex

VALUES = st.tuples(st.sampled_from("abcdefghij"))


class Indexed(RuleBasedStateMachine):
    """An index and its twin, while series come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.index = SeriesIndex("family")
        self.rows: dict[tuple[str, ...], int] = {}
        self.notes: dict[int, tuple[float, int, int]] = {}  # created, owner, change, by row
        self.lanes: dict[int, int] = {}  # by row
        self.n_changes = 0

    def change(self) -> int:
        self.n_changes += 1
        return self.n_changes

    @rule(values=VALUES, owner=st.integers(0, 2), is_overflow=st.booleans())
    def put(self, values: tuple[str, ...], owner: int, is_overflow: bool) -> None:
        if values in self.rows or (is_overflow and self.index.has(OVERFLOW_ROW)):
            return
        used = set(self.rows.values())
        row = OVERFLOW_ROW if is_overflow else self.index.next_row()
        if not is_overflow:
            assert row == next(row for row in range(1, 99) if row not in used)
        created, change = float(self.n_changes), self.change()
        self.index.put(row, values, created, owner, change)
        self.rows[values], self.notes[row] = row, (created, owner, change)
        self.lanes[row] = 0

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        row = self.rows.pop(data.draw(st.sampled_from(sorted(self.rows))))
        for _ in range(self.lanes.pop(row)):
            self.index.unbind(row, 0)
        del self.notes[row]
        self.index.forget(row)
        self.index.free([row])

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def bind(self, data: st.DataObject) -> None:
        row = self.rows[data.draw(st.sampled_from(sorted(self.rows)))]
        self.index.bind(row)
        self.lanes[row] += 1

    @precondition(lambda self: any(self.lanes.values()))
    @rule(data=st.data())
    def unbind(self, data: st.DataObject) -> None:
        row = data.draw(st.sampled_from([row for row, n in self.lanes.items() if n]))
        change = self.change()
        self.index.unbind(row, change)
        self.lanes[row] -= 1
        self.notes[row] = (*self.notes[row][:2], change)

    @rule()
    def free_all(self) -> None:
        """Free all rows, as a collector does that has read the log."""
        self.index.free_all([range(4), range(4, 99)])

    @invariant()
    def is_as_the_twin_says(self) -> None:
        index = self.index
        assert {values: row for row, values in index} == self.rows
        assert len(index) == len(self.rows)
        for values, row in self.rows.items():
            assert values in index
            assert index.row(values) == row
            assert index.values(row) == values
            assert (index.created(row), index.owner(row)) == self.notes[row][:2]
            assert index.is_bound(row) == bool(self.lanes[row])
        all_rows = range(index.end)
        used = sorted(self.rows.values())
        assert np.flatnonzero(index.used()).tolist() == list(index.rows_used(all_rows)) == used
        assert index.is_vacant(all_rows) == (not used)
        assert list(index.rows_unused(range(9))) == [row for row in range(1, 9) if row not in used]

    @invariant()
    def what_no_lane_has_is_left(self) -> None:
        for owner in (None, 0, 1, 2):
            rows, changes = self.index.left(owner)
            assert dict(zip(rows.tolist(), changes.tolist(), strict=True)) == {
                row: change
                for row, (_, of, change) in self.notes.items()
                if row != OVERFLOW_ROW and not self.lanes[row] and owner in (None, of)
            }


TestIndexed = Indexed.TestCase
TestIndexed.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)


def test_rows_without_cells_are_used_no_more() -> None:
    index = SeriesIndex("family")
    for row in range(1, 8):
        index.put(row, (str(row),), 0.0, 0, 0)
    for row in range(4, 8):
        index.forget(row)
    index.free(range(4, 8))
    index.forget(2)
    index.free([2])
    index.withdraw(range(4, 8))
    assert index.end == 4
    assert index.next_row() == 2
    index.put(2, ("again",), 0.0, 0, 0)
    assert index.next_row() == 4


def test_a_row_without_a_series_has_no_values() -> None:
    index = SeriesIndex("family")
    index.put(2, ("a",), 0.0, 0, 0)
    assert not index.has(1)
    with pytest.raises(LookupError, match="family: row 1 has no series"):
        index.values(1)


def test_lanes_and_the_last_change_go_with_a_series_to_its_new_row() -> None:
    index = SeriesIndex("family")
    index.put(1, ("a",), 0.0, 0, 5)
    index.bind(1)
    index.forget(1)
    index.put(2, ("a",), 0.0, 0, 6)
    index.hand_over(1, 2)
    assert index.left(None)[0].tolist() == []
    assert not index.is_bound(1)
    assert index.is_bound(2)
    index.unbind(2, 7)
    index.forget(2)
    index.put(3, ("a",), 0.0, 0, 8)
    index.hand_over(2, 3)
    rows, changes = index.left(None)
    assert (rows.tolist(), changes.tolist()) == ([3], [7])
