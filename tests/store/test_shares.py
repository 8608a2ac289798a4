# SPDX-License-Identifier: Apache-2.0
"""The room of series, chunks and families that go, in stores of all sizes, against a dictionary.
The shares of all owners add up."""

from __future__ import annotations

import contextlib
import struct
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from shmetrics import layout
from shmetrics.definitions import Refusal
from shmetrics.dictionary import Definition
from shmetrics.store.families import Families, parts_of, refusal_of
from shmetrics.store.family import OVERFLOW, Family
from shmetrics.store.limits import Limits
from shmetrics.store.log import Log, StoreFull
from shmetrics.store.log_entry import Entry, EntryKind
from shmetrics.store.shares import NOBODY
from shmetrics.store.store import Store

KIB = 1024
SIZES = 384 * KIB, 512 * KIB, 1024 * KIB
OWNERS = NOBODY, 1, 43
NAMES = {
    "bare": Definition(layout.TYPE_COUNTER, "bare", "No labels", "", "", (), ()),
    "jobs": Definition(layout.TYPE_COUNTER, "jobs", "Jobs", "", "", ("a", "b"), ()),
    "size": Definition(layout.TYPE_HISTOGRAM, "size", "Size", "", "", ("a",), (1.0, 2.0)),
    "rpc": Definition(layout.TYPE_CALLS, "rpc", "Calls", "", "", ("a",), (1.0,)),
}
names = st.sampled_from(list(NAMES))
owners = st.sampled_from(OWNERS)
LIMITS = Limits(series_per_family=60, native_histograms=False)


class Killed(BaseException):
    """A stand-in for a kill."""


class SharedStore(RuleBasedStateMachine):
    """Families that come and go in a store that is closed, killed, or given another size."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="shm-shared-")
        self.path = Path(self.folder.name) / "store"
        self.size = SIZES[0]
        self.twin: dict[str, dict[tuple[str, ...], int]] = {}
        self.open()

    def open(self) -> None:
        self.store = Store(self.path, self.size)
        self.families = Families(self.store, LIMITS, lambda family: None)
        self.families.resize(self.size)

    def close(self) -> None:
        del self.families
        self.store.close()

    def teardown(self) -> None:
        self.close()
        self.folder.cleanup()

    def family(self, name: str) -> Family:
        [family] = [one for one in self.families.of_emitters() if one.definition.name == name]
        return family

    @rule(name=names, owner=owners, first=st.integers(0, 50), n=st.integers(1, 60))
    def add(self, name: str, owner: int, first: int, n: int) -> None:
        family = self.families.define(NAMES[name], owner)
        if not isinstance(family, Family):
            assert family.reason == "store_full"
            return
        rows = self.twin.setdefault(name, {})
        for number in range(first, first + n):
            values = tuple(f"{number}" for _ in family.definition.label_names)
            try:
                row = family.row(values, owner)
            except StoreFull:
                continue
            counted = family.values(row)
            assert counted in (values, family.overflow_values)
            before = rows.setdefault(counted, 0)
            cells = family.cells(row)
            assert cells.tolist() == [*[0] * (family.width - 1), before], "it had been another's"
            cells[-1] += 1
            rows[counted] += 1

    @rule(name=names, of=st.integers(2, 5), but=st.integers(0, 4))
    def remove_some(self, name: str, of: int, but: int) -> None:
        """Remove all series but one in so many, or a run of them, as if their processes had
        ended."""
        if name in self.twin:
            family = self.family(name)
            rows = [
                row
                for row in np.flatnonzero(family.index.used()).tolist()
                if row % of != but and row and family.values(row) != family.overflow_values
            ]
            for row in rows:
                del self.twin[name][family.values(row)]
            family.remove(rows)
            family.show_all()

    @rule(name=names)
    def remove_family(self, name: str) -> None:
        if self.twin.pop(name, None) is not None:
            self.families.remove([self.family(name)])

    @rule(name=names, nth=st.integers(1, 4), before=st.booleans())
    def kill_while_a_family_goes(self, name: str, nth: int, before: bool) -> None:
        """Kill the collector while a family goes; the rest of it can be used, and can go."""
        if name not in self.twin:
            return
        left = nth
        set_end = Log._set_end

        def killed(log: Log, end: int) -> None:
            nonlocal left
            left -= 1
            if left or not before:
                set_end(log, end)
            if not left:
                raise Killed

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Log, "_set_end", killed)
            with contextlib.suppress(Killed):
                self.families.remove([self.family(name)])
        self.close()
        self.open()
        found = [one for one in self.families.of_emitters() if one.definition.name == name]
        if not found:
            del self.twin[name]
            return
        values = set(found[0].series.values)
        assert values <= self.twin[name].keys()
        self.twin[name] = {one: n for one, n in self.twin[name].items() if one in values}

    @rule(size=st.sampled_from(SIZES))
    def restart_with(self, size: int) -> None:
        self.size = size
        self.restart()

    @rule()
    def restart(self) -> None:
        before = self.accounts()
        self.close()
        self.open()
        assert self.accounts() == before

    @rule()
    def rewrite(self) -> None:
        self.store.log.rewrite()

    def accounts(self) -> tuple[dict[int, int], dict[int, int]]:
        shares = self.store.shares
        return dict(+shares._log_bytes), dict(+shares._cells)

    @invariant()
    def is_as_the_twin_says(self) -> None:
        assert {one.definition.name for one in self.families.of_emitters()} == self.twin.keys()
        for name, rows in self.twin.items():
            family = self.family(name)
            found = zip(family.series.values, family.rows()[:, -1].tolist(), strict=True)
            assert dict(found) == rows
            assert len(family) == len(rows) == len(family.series.values)

    @invariant()
    def nobody_has_anothers_cells_and_all_are_counted(self) -> None:
        runs = []
        cells: Counter[int] = Counter()
        for named in self.families.of_emitters():
            for family in parts_of(named):
                for chunk in family.chunks:
                    runs.append(range(chunk.run.first, sum(chunk.run)))
                    cells[chunk.owner] += chunk.run.n
                for row in np.flatnonzero(family.index.used()).tolist():
                    cells[family.index.owner(row)] += family.width
                    cells[family.chunks.of(row).owner] -= family.width
        assert len({cell for run in runs for cell in run}) == sum(map(len, runs))
        assert self.store._extents.used == sum(map(len, runs))
        assert self.accounts()[1] == dict(+cells)
        assert self.store.log.used_bytes + self.store.reserved_bytes < self.store.log.half_bytes


TestSharedStore = SharedStore.TestCase
TestSharedStore.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


# ---- room -----------------------------------------------------------------------------------


def fill(family: Family, owner: int, prefix: str, length: int = 0) -> int:
    """Add series until there is no room for another; return their number."""
    for n in range(100_000):
        values = (f"{prefix}{n:0{length}}",)
        if family.values(family.row(values, owner)) == family.overflow_values:
            return n
    raise AssertionError("there is no end to it")


def opened(path: Path, size: int = 1024 * KIB, per_uid: int = 0) -> tuple[Store, Families]:
    store = Store(path, size, per_uid)
    families = Families(store, Limits(series_per_family=100_000), lambda family: None)
    families.resize(size)
    return store, families


def defined(families: Families, name: str, owner: int) -> Family:
    found = families.define(NAMES["size"]._replace(name=name), owner)
    assert isinstance(found, Family), found
    return found


@pytest.mark.parametrize("kept", ["none", "first", "last", "one in the middle"])
def test_the_room_of_series_that_are_gone_is_for_other_families(tmp_path: Path, kept: str) -> None:
    """Check each series that may be the one that stays."""
    store, families = opened(tmp_path / "store")
    first = defined(families, "first", 1)
    n = fill(first, 1, "")
    rows = [first.row((f"{number}",)) for number in range(n)]
    stays = {"none": [], "first": rows[:1], "last": rows[-1:]}.get(kept, rows[n // 2 : n // 2 + 1])
    first.remove([row for row in rows if row not in stays])
    then = fill(defined(families, "then", 1), 1, "")
    assert then > n // 3
    first.show_all()
    assert first.series.values == [*map(first.values, stays), (OVERFLOW,)]
    store.close()


@pytest.mark.parametrize("length", [1, 900])
def test_a_user_who_has_filled_its_share_leaves_room_for_others(
    tmp_path: Path, length: int
) -> None:
    """Check many series, which fill the cells, and long ones, which fill the log, before and
    after a restart."""
    store, families = opened(tmp_path / "store", per_uid=512 * KIB)
    fill(defined(families, "mine", 43), 43, "mine", length)
    assert families.define(NAMES["rpc"], 43)  # refused
    for _ in range(2):
        other = defined(families, "other", 1)
        assert fill(other, 43, "more", length) == 0
        other.cells(other.row(("fast",), 1))[0] += 1
        assert ("fast",) in other.series.values
        del other, families
        store.close()
        store, families = opened(tmp_path / "store", per_uid=512 * KIB)
    assert fill(defined(families, "others", 1), 1, "", length) > 20
    store.close()


def test_rows_in_anothers_chunk_are_in_the_share_of_who_uses_them(tmp_path: Path) -> None:
    """Check the shares: else one user could fill cells that count as another's."""
    store, families = opened(tmp_path / "store")
    family = defined(families, "shared", 1)
    cells = store.shares._cells
    all_cells = cells[1]
    rows = [family.row((f"{n}",), 43) for n in range(5)]
    assert (cells[1], cells[43]) == (all_cells - 5 * family.width, 5 * family.width)
    family.remove(rows[:2])
    assert (cells[1], cells[43]) == (all_cells - 3 * family.width, 3 * family.width)
    store.close()


# ---- another size ---------------------------------------------------------------------------


def test_more_room_is_there_after_a_restart_and_what_was_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "store"
    store, families = opened(path)
    n = fill(defined(families, "jobs", 1), 1, "")
    lane_id = store.next_lane_id()
    first = n
    for size in (64 << 20, 8 << 20):
        del families
        store.close()
        store, families = opened(path, size)
        family = defined(families, "jobs", 1)
        assert path.stat().st_size == store.size_bytes == size
        for number in range(n, n + 1000):
            cells = family.cells(family.row((f"{number}",), 1))
            cells[0] += 1
        n += 1000
        assert len(family) == n + 1  # with the overflow series of before
        del family, cells, families
        store.close()
        store, families = opened(path, size)
        sums = defined(families, "jobs", 1).rows()[:, 0]
        assert sums.sum() == n - first
    assert store.next_lane_id() == lane_id + 1
    store.close()


def test_what_a_kill_has_left_to_undo_is_found_in_a_store_of_another_size(tmp_path: Path) -> None:
    """Check that it names the same cells."""
    path = tmp_path / "store"
    store, families = opened(path)
    family = defined(families, "jobs", 1)
    first = family.row(("fast",), 1)
    cell = family.cell(first)
    store.cells[cell] = 7
    undo = np.arange(len(store.undo), dtype=np.uint8)
    store.undo[:] = undo
    del family, families
    store.close()
    store, families = opened(path, 8 << 20)
    assert store.undo.tolist() == undo.tolist()
    assert defined(families, "jobs", 1).cell(first) == cell
    assert store.cells[cell] == 7
    store.close()


@pytest.mark.slow
def test_less_room_than_there_is_need_for_is_not_taken_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "store"
    store, families = opened(path, 8 << 20)
    n = fill(defined(families, "jobs", 1), 1, "")
    del families
    store.close()
    store, families = opened(path)
    assert store.size_bytes == 8 << 20
    assert len(defined(families, "jobs", 1)) == n + 1
    assert caplog.messages == [
        f"{path} stays at {8 << 20} bytes, and store.max_bytes = {1 << 20} has no effect: "
        "what it holds needs more"
    ]
    families.remove([defined(families, "jobs", 1)])
    del families
    store.close()
    store, _ = opened(path)
    assert store.size_bytes == path.stat().st_size == 1 << 20
    store.close()


@pytest.mark.parametrize("call", ["os.posix_fallocate", "os.rename", "Store._copy_to"])
def test_a_disk_without_room_for_another_size_keeps_the_store_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "store"
    store, families = opened(path)
    defined(families, "jobs", 1).row(("fast",), 1)

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(f"shmetrics.store.store.{call}", full)
        families.resize(8 << 20)
    assert defined(families, "jobs", 1).series.values == [("fast",)]
    assert [one.name for one in tmp_path.iterdir()] == ["store"]
    assert "No space left on device" in caplog.text
    del families
    store.close()
    store, families = opened(path)
    assert defined(families, "jobs", 1).series.values == [("fast",)]
    store.close()


def test_a_store_that_was_being_made_is_not_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "store.new").write_bytes(b"half of it")
    store, _ = opened(tmp_path / "store")
    assert [one.name for one in tmp_path.iterdir()] == ["store"]
    store.close()


def test_a_store_of_before_is_read_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check a store whose chunks have no rows, and whose entries have no owners, in the log."""
    path = tmp_path / "store"
    with monkeypatch.context() as patch:
        patch.setattr(
            Entry,
            "placed",
            lambda of, first_row, rows, first_cell, owner: Entry(
                EntryKind.CHUNK, 0, rows, of, struct.pack("=Q", first_cell)
            ),
        )
        store, families = opened(path)
        family = defined(families, "jobs", NOBODY)
        for n in range(200):
            family.cells(family.row((f"{n}",)))[0] = n
        del family, families
        store.close()
    left: dict[tuple[str, ...], int] = {(f"{n}",): n for n in range(200)}
    for size in (1 << 20, 1 << 20, 4 << 20):
        store, families = opened(path, size)
        family = defined(families, "jobs", 1)
        found = zip(family.series.values, family.rows()[:, 0].tolist(), strict=True)
        assert dict(found) == left
        gone = np.flatnonzero(family.index.used()).tolist()[20:60]
        for row in gone:
            del left[family.values(row)]
        family.remove(gone)
        store.log.rewrite()
        del family, families
        store.close()


def test_a_family_without_room_is_refused_with_one_mend(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", SIZES[0])
    families = Families(store, LIMITS, lambda family: None)
    for number in range(1000):
        wanted = NAMES["jobs"]._replace(name=f"jobs_{number}", help=900 * "x")
        found = families.define(wanted, 43)
        if not isinstance(found, Family):
            break
        found.row(("a", "b"), 43)
    assert isinstance(found, Refusal)
    assert found.text == f"jobs_{number}: {store.path}: no room for more series"
    assert (found.reason, found.mend) == ("store_full", "see store.max_bytes")
    of_one = refusal_of(wanted, StoreFull("no room of uid 7; see store.max_bytes_per_uid", 7))
    assert (of_one.text, of_one.mend) == (
        f"jobs_{number}: no room of uid 7",
        "see store.max_bytes_per_uid",
    )
    store.close()
