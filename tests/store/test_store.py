# SPDX-License-Identifier: Apache-2.0
"""The store's families, against a dictionary: the same after every restart, and at its limits."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from shmetrics import layout
from shmetrics.dictionary import Definition
from shmetrics.store.families import Families
from shmetrics.store.family import OVERFLOW, Family
from shmetrics.store.histograms import CallFamily
from shmetrics.store.limits import Limits
from shmetrics.store.log import StoreError, StoreFull
from shmetrics.store.store import HEADER_BYTES, Store

LIMITS = Limits(series_per_family=20, label_bytes=1000)
DEFINITIONS = {
    "bare": Definition(layout.TYPE_COUNTER, "bare", "No labels", "", "", (), ()),
    "jobs": Definition(layout.TYPE_COUNTER, "jobs", "Jobs", "", "", ("a", "b"), ()),
    "size": Definition(layout.TYPE_HISTOGRAM, "size", "Size", "", "", ("a",), (1.0, 2.0)),
    "rpc": Definition(layout.TYPE_CALLS, "rpc", "Calls", "", "", ("a",), (1.0,)),
}
label_values = (
    st.integers(0, 30).map(str)
    | st.just(OVERFLOW)
    | st.text(max_size=5)
    | st.integers(0, 99).map(lambda n: f"{n:03}" * 333)
    | st.just("x" * 1001)
)


class Stored(RuleBasedStateMachine):
    """Rows of families in a store that is closed and opened again at any moment."""

    max_bytes = 1 << 20
    is_small = False

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="shm-store-")
        self.path = Path(self.folder.name) / "store"
        self.clock = 0.0
        self.twin: dict[str, Counter[tuple[str, ...]]] = {}
        self.created: dict[tuple[str, tuple[str, ...]], float] = {}
        self.overflows = self.seen_overflows = 0
        self.open()

    def open(self) -> None:
        self.store = Store(self.path, self.max_bytes)
        self.families = Families(self.store, LIMITS, self.overflowed, self.now)

    def close(self) -> None:
        del self.families
        self.store.close()

    def teardown(self) -> None:
        self.close()
        self.folder.cleanup()

    def overflowed(self, family: Family) -> None:
        self.seen_overflows += 1

    def now(self) -> float:
        self.clock += 1
        return self.clock

    def expected(self, name: str, values: tuple[str, ...], family: Family) -> tuple[str, ...]:
        """Return the label values of the series in which these values have to count."""
        rows = self.twin[name]
        overflow = (OVERFLOW,) * len(values)
        too_long = any(len(value.encode()) > LIMITS.label_bytes for value in values)
        if values in rows or not values or values == overflow:
            return values
        if not too_long and len(rows) < LIMITS.series_per_family:
            if not self.is_small:
                return values
            # A small store may be full: ask what it did, and hold it to that.
            row = family.row(values)
            if family.values(row) == values:
                return values
        self.overflows += 1
        return overflow

    @rule(name=st.sampled_from(list(DEFINITIONS)), data=st.data(), amount=st.integers(1, 99))
    def add(self, name: str, data: st.DataObject, amount: int) -> None:
        family = self.families.define(DEFINITIONS[name])
        if not isinstance(family, Family):
            assert self.is_small
            assert family.reason == "store_full"
            return
        self.twin.setdefault(name, Counter())
        values = tuple(data.draw(label_values) for _ in DEFINITIONS[name].label_names)
        try:
            counted = self.expected(name, values, family)
            row = family.counted_row(values)
        except StoreFull:  # not even the overflow series
            assert self.is_small
            self.overflows = self.seen_overflows
            return
        assert family.values(row) == counted
        self.twin[name][counted] += amount
        self.created.setdefault((name, counted), self.clock)  # which only stands for new series
        cells = self.store.cells[family.cell(row) :][: family.width]
        assert not cells.any() or self.twin[name][counted] > amount
        cells[-1] += amount  # through the store: the drain's way

    @rule()
    def restart(self) -> None:
        self.close()
        self.open()

    @invariant()
    def is_as_the_twin_says(self) -> None:
        assert self.seen_overflows == self.overflows
        for name, rows in self.twin.items():
            [family] = [one for one in self.families if one.definition.name == name]
            assert family.definition == DEFINITIONS[name]
            assert len(family) == len(family.series.values) == len(rows)
            table, created = family.rows(), family.created()
            for at, values in enumerate(family.series.values):
                assert table[at, -1] == rows[values]
                assert not table[at, :-1].any()
                assert created[at] == self.created[name, values]
                assert family.values(family.row(values)) == values
            if isinstance(family, CallFamily):
                assert family.exceptions is not None
                assert family.exceptions.definition.label_names == ("a", "exception")


class SmallStored(Stored):
    """The same where it does not all fit."""

    max_bytes = 384 * 1024
    is_small = True


TestStored = Stored.TestCase
TestStored.settings = settings(max_examples=40, stateful_step_count=60, deadline=None)
TestSmallStored = SmallStored.TestCase
TestSmallStored.settings = settings(max_examples=25, stateful_step_count=120, deadline=None)


# ---- at the limits --------------------------------------------------------------------------


def test_a_full_store_still_counts_everything(tmp_path: Path) -> None:
    """Check that label sets without a series count in the overflow series, whose place is kept."""
    store = Store(tmp_path / "store", 384 * 1024)
    families = Families(store, Limits(), lambda family: None)
    family = families.define(DEFINITIONS["size"])
    assert isinstance(family, Family)
    for n in range(1000):
        cells = family.cells(family.row((f"{n}" + "x" * 500,)))
        cells[1] += 1
    assert 10 < len(family) < 1000
    assert family.series.values[-1] == (OVERFLOW,)
    assert family.rows()[:, 1].sum() == 1000
    assert store.used_bytes <= store.size_bytes
    del family, families, cells
    store.close()


def test_a_full_store_has_room_for_every_overflow_series(tmp_path: Path) -> None:
    """Check a family that had no series before the store was full, too."""
    store = Store(tmp_path / "store", 384 * 1024)
    families = Families(store, Limits(), lambda family: None)
    size, rpc = (families.define(DEFINITIONS[name]) for name in ("size", "rpc"))
    assert isinstance(size, Family)
    assert isinstance(rpc, Family)
    for length in (500, 50, 5):  # until nothing goes in any more
        for n in range(300):
            size.row((f"{n:0{length}}",))
    assert size.series.values[-1] != (f"{299:05}",)
    assert rpc.series.values == []
    del size, rpc, families
    store.close()
    store = Store(tmp_path / "store", 384 * 1024)  # which goes on keeping it
    families = Families(store, Limits(), lambda family: None)
    size, rpc = (families.define(DEFINITIONS[name]) for name in ("size", "rpc"))
    assert isinstance(size, Family)
    assert isinstance(rpc, Family)
    for length in (300, 30, 3):
        for n in range(300):
            size.row((f"{n:0{length}}",))
    assert rpc.series.values == []
    assert rpc.values(rpc.row(("new",))) == (OVERFLOW,)
    del size, rpc, families
    store.close()


@pytest.mark.parametrize("limit", [1, 15, 16, 17, 31, 32, 33])
def test_the_overflow_series_has_its_place_whatever_the_limit(tmp_path: Path, limit: int) -> None:
    """Check limits at the end of a chunk, too."""
    store = Store(tmp_path / "store", 1 << 20)
    families = Families(store, Limits(limit), lambda family: None)
    family = families.define(DEFINITIONS["size"])
    assert isinstance(family, Family)
    for n in range(limit + 3):
        family.cells(family.row((str(n),)))[0] += 1
    assert family.series.values == [*((str(n),) for n in range(limit)), (OVERFLOW,)]
    assert family.rows()[:, 0].tolist() == [*([1] * limit), 3]
    del family, families
    store.close()


def test_rows_move_with_the_family_as_it_grows(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", 16 << 20)
    families = Families(store, Limits(), lambda family: None)
    size, rpc = (families.define(DEFINITIONS[name]) for name in ("size", "rpc"))
    assert isinstance(size, Family)
    assert isinstance(rpc, Family)
    for n in range(3000):  # in turns: their chunks lie between each other
        size.cells(size.row((str(n),)))[0] = n
        rpc.cells(rpc.row((str(n),)))[0] = 10_000 + n
    assert size.rows()[:, 0].tolist() == list(range(3000))
    assert rpc.rows()[:, 0].tolist() == list(range(10_000, 13_000))
    del size, rpc, families
    store.close()


def test_a_store_is_sparse(tmp_path: Path) -> None:
    """Check that unused parts of the file take no room on the disk."""
    store = Store(tmp_path / "store", 256 << 20)
    assert os.stat(store.path).st_blocks * 512 < 1 << 20
    store.close()


def test_lane_ids_are_never_given_twice(tmp_path: Path) -> None:
    seen = []
    for _ in range(3):
        store = Store(tmp_path / "store", 1 << 20)
        seen += [store.next_lane_id() for _ in range(3)]
        store.close()
    assert seen == list(range(1, 10))


# ---- what is no store -----------------------------------------------------------------------

DAMAGES = {
    "not a store": (0, b"x"),
    "store version 9, this is 3": (8, b"\x09"),
    "the store is damaged": (16, b"\xff"),
    "log is damaged": (HEADER_BYTES, b"\x01\0\0\0"),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_store_is_refused_in_one_line(tmp_path: Path, what: str) -> None:
    path = tmp_path / "store"
    store = Store(path, 1 << 20)
    Families(store, Limits(), lambda family: None).define(DEFINITIONS["jobs"])
    store.close()
    at, damage = DAMAGES[what]
    with path.open("r+b") as file:
        file.seek(at)
        file.write(damage)
    with pytest.raises(StoreError, match=f"^{path}: .*{what}"):
        open_and_close(path)


def open_and_close(path: Path) -> None:
    store = Store(path, 1 << 20)
    try:
        Families(store, Limits(), lambda family: None)
    finally:
        store.close()


def test_a_store_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    with pytest.raises(StoreError, match=r"store: the store cannot be opened: .*Is a directory"):
        Store(tmp_path / "store", 1 << 20)


def test_a_store_without_room_leaves_nothing_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check that the next collector finds no file that is no store."""

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(StoreError, match=r"store: No space left on device$"):
            Store(tmp_path / "store", 1 << 20)
    Store(tmp_path / "store", 1 << 20).close()
