# SPDX-License-Identifier: Apache-2.0
"""The chunks of two families that share a store, against the rows that each of them should have."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmetrics.store.chunks import Chunks
from shmetrics.store.store import Store

MIB = 1024 * 1024

steps = st.lists(
    st.tuples(
        st.sampled_from(["make", "drop", "relocate"]),
        st.sampled_from([0, 1]),
        st.integers(0, 100),
    ),
    max_size=30,
)


def make(store: Store, chunks: Chunks, owner: int) -> range:
    """Make the next chunk of a family, write the number of each row into its cells; its rows."""
    first_row, rows = chunks.next_place()
    run = chunks.find_cells(rows, 0, owner)
    entry, chunk = chunks.place(first_row, run, owner)
    store.append([entry], run)
    chunks.add(chunk)
    chunk.cells[:] = np.array(chunk.rows, np.uint64)[:, None]
    return chunk.rows


def relocate(store: Store, chunks: Chunks, row: int) -> None:
    """Copy the chunk of a row to other cells, and let the copy take its place."""
    chunk = chunks.of(row)
    run = store.find(chunk.run.n)
    entry, moved = chunks.place(chunk.first_row, run, chunk.owner)
    store.append([entry], run, content=chunk.cells.ravel().copy())
    chunks.replace(moved)


def check(chunks: Chunks, twin: set[int]) -> None:
    """Check that a family has the rows of its twin, and finds the cells of each."""
    assert {row for chunk in chunks for row in chunk.rows} == twin
    assert chunks.end == max(twin, default=-1) + 1
    parts = [np.empty((0, chunks.width), np.uint64), *chunks.cells_below(chunks.end)]
    numbers = [row if row in twin else 0 for row in range(chunks.end)]
    assert np.concatenate(parts)[:, -1].tolist() == numbers
    for row in range(0, chunks.end + 1, 7):
        assert chunks.has(row) == (row in twin)
        if row in twin:
            assert chunks.cells(row).tolist() == [row] * chunks.width
        else:
            with pytest.raises(LookupError, match=f"there is no row {row}"):
                chunks.cell(row)


@settings(deadline=None)
@given(st.sampled_from([(1, 3), (2, 600)]), steps)
def test_each_row_keeps_its_cells(
    widths: tuple[int, int], steps: list[tuple[str, int, int]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "store", 8 * MIB)
        families = [Chunks(store, n, f"family {n}", width) for n, width in enumerate(widths)]
        twins: list[set[int]] = [set(), set()]
        for what, at, number in steps:
            chunks, twin = families[at], twins[at]
            if what == "make":
                rows = make(store, chunks, owner=number % 3)
                assert twin.isdisjoint(rows)
                assert set(range(rows.start)) <= twin  # the lowest gap is filled first
                twin.update(rows)
            elif twin:
                row = sorted(twin)[number % len(twin)]
                if what == "relocate":
                    relocate(store, chunks, row)
                elif chunks.of(row).first_row:  # the first one stays as long as the family
                    twin.difference_update(chunks.of(row).rows)
                    chunks.drop(chunks.of(row))
            used = [set(range(one.run.first, sum(one.run))) for each in families for one in each]
            assert len(set().union(*used)) == sum(map(len, used)) == store.used_cells
            check(chunks, twin)
        for chunks in families:
            chunks.drop_all()
        assert store.used_cells == 0
        assert store.shares.largest() == 0
        store.close()


def test_a_chunk_is_smaller_where_a_share_has_less_room(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", 8 * MIB, max_bytes_per_uid=4096)
    chunks = Chunks(store, 0, "family", 8)
    assert chunks.find_cells(4096, 0, owner=1).n < 4096
    assert chunks.find_cells(4096, 0, owner=0).n == 8 * 4096
    store.close()
