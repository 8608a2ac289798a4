# SPDX-License-Identifier: Apache-2.0
"""The newest shape of a name takes over what old ones have counted: nothing shown changes."""

from __future__ import annotations

import contextlib
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shmetrics import layout
from shmetrics.collector.collector import Settings
from shmetrics.dictionary import Definition
from shmetrics.registration.decision import Granted
from shmetrics.registration.peer import Peer
from shmetrics.registration.protocol import Hello
from shmetrics.store import inheritance
from shmetrics.store.families import Families, parts_of
from shmetrics.store.family import Family
from shmetrics.store.gauges import Gauges
from shmetrics.store.histograms import HistogramFamily
from shmetrics.store.inheritance import Inheritance
from shmetrics.store.log import Log
from shmetrics.store.packing import Moved
from shmetrics.tables.family_tables import FamilyTables
from tests.nodes import hostile
from tests.nodes.hostile import LaneFile
from tests.nodes.loopback import MIB, Loopback
from tests.nodes.opened import opened

COUNTER, HISTOGRAM, CALLS = layout.TYPE_COUNTER, layout.TYPE_HISTOGRAM, layout.TYPE_CALLS
LABELS = ((), ("q",), ("q", "t"), ("t", "q"), ("q", "t", "z"))
OLD_SHAPE_SECONDS = 100.0

Shown = dict[tuple[str, frozenset[tuple[str, str]]], tuple[object, ...]]


class Killed(BaseException):
    """A stand-in for a kill."""


class Node:
    """Families with several shapes of one name, without lanes."""

    def __init__(self, families: Families) -> None:
        self.families = families
        self.moved: list[Moved] = []
        self.inheritance = Inheritance(families, self.moved.append, lambda: True)

    def shown(self) -> Shown:
        """Return all samples by name and label set."""
        source = FamilyTables(self.families, Gauges(self.families), lambda: (), lambda: ())
        found: Shown = {}
        for table in source.tables(native=True):
            for row in range(len(table)):
                pairs = zip(table.series.names, table.series.values[row], strict=True)
                key = table.name, frozenset(pair for pair in pairs if pair[1])
                assert key not in found
                assert table.created is not None
                native = table.native
                found[key] = (
                    table.created[row],
                    *(table.values[row : row + 1].tolist(), table.sums[row : row + 1].tolist()),
                    table.buckets[row : row + 1].tolist(),
                    native and (native.schema, native.first, native.zeros[row]),
                    native and native.counts[row].tolist(),
                )
        return found

    def shapes(self) -> list[Family]:
        name = self.families.names.get("a")
        assert name is not None
        return list(name)

    def pass_on_all(self) -> None:
        """Pass on the totals of all old shapes, the last one first."""
        for shape in reversed(self.shapes()[1:]):
            while self.inheritance.pass_on([shape])[0] != [shape]:
                pass

    def check(self) -> None:
        """Check the reserved bytes and the cells against those of the families."""
        store = self.families.store
        assert store.reserved_bytes == sum(family.overflow_bytes for family in self.families)
        runs = [chunk.run for family in self.families for chunk in family.chunks]
        chunks = [range(run.first, run.first + run.n) for run in runs]
        assert sum(map(len, chunks)) == store.used_cells
        assert len({cell for chunk in chunks for cell in chunk}) == store.used_cells


def fill(families: Families, definitions: list[Definition], seed: int, most: int = 4) -> None:
    """Make shapes of one name, with series and totals."""
    chance = random.Random(seed)
    for definition in definitions:
        family = families.define(definition)
        assert isinstance(family, Family)
        for part in parts_of(family):
            n = len(part.definition.label_names)
            for _ in range(chance.randint(0, most) if n else 1):
                few = ["", "x", "y"] if most < 9 else [str(at) for at in range(most)]
                fill_row(part, part.row(tuple(chance.choices(few, k=n))), chance)
            if n and chance.random() < 0.5:
                fill_row(part, part.overflow_row(), chance)


def fill_row(family: Family, row: int, chance: random.Random) -> None:
    """Write numbers whose sums depend on the order, and few buckets that are not empty."""
    cells = family.cells(row)
    cells.view(np.float64)[0] = chance.choice([0.1, 0.2, 0.3, 1e9])
    if isinstance(family, HistogramFamily):
        at = family.first_count
        if family.definition.type == CALLS:
            cells[:at] = [chance.randrange(10**10) for _ in range(at)]
        for _ in range(6):
            cells[chance.randrange(at, family.width)] += np.uint64(chance.randrange(10))
        cells[-1] += np.uint64(chance.randrange(5))


bounds = st.lists(
    st.sampled_from([0.0, 0.001, 0.3, 0.5, 1.0, 1.05, 2.0, 900.0, 1e9, -1.0]), unique=True
).map(lambda found: tuple(sorted(found)))
shapes = st.one_of(
    st.lists(st.tuples(st.sampled_from(LABELS), st.just(())), min_size=2, max_size=4).map(
        lambda found: [Definition(COUNTER, "a", "", "", "", *each) for each in found]
    ),
    st.tuples(
        st.sampled_from([HISTOGRAM, CALLS]),
        st.lists(st.tuples(st.sampled_from(LABELS), bounds), min_size=2, max_size=4),
    ).map(lambda found: [Definition(found[0], "a", "", "", "", *each) for each in found[1]]),
)


TWO = [Definition(HISTOGRAM, "a", "", "", "", ("q",), each) for each in ((1.0,), (1.0, 2.0))]


@contextlib.contextmanager
def node_in(folder: str) -> Iterator[Node]:
    with opened(Path(folder) / "store", 4 * MIB) as families:
        yield Node(families)


@given(definitions=shapes, seed=st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_nothing_shown_changes(definitions: list[Definition], seed: int) -> None:
    """Check that the samples stay the same, after a restart and a rewritten log as well."""
    with tempfile.TemporaryDirectory(prefix="shm-inheritance-") as folder:
        with node_in(folder) as node:
            fill(node.families, definitions, seed)
            before = node.shown()
            node.pass_on_all()
            assert node.shown() == before
            for shape in node.shapes()[1:]:
                for part, newest in zip(parts_of(shape), parts_of(node.shapes()[0]), strict=True):
                    rows = np.flatnonzero(part.index.used()).tolist()
                    assert inheritance._heirs(part, newest, rows) == {}
            node.check()
        with node_in(folder) as node:
            assert node.shown() == before
            node.check()
            node.families.store.log.rewrite()
        with node_in(folder) as node:
            assert node.shown() == before
            node.check()


@given(definitions=shapes, seed=st.integers(0, 2**32), is_before=st.booleans())
@example(definitions=TWO, seed=3, is_before=False)  # a series goes over
@settings(max_examples=20, deadline=None)
def test_a_kill_changes_nothing(definitions: list[Definition], seed: int, is_before: bool) -> None:
    """Check a kill right before or after any write to the log."""
    for last in range(1, 100):
        with tempfile.TemporaryDirectory(prefix="shm-inheritance-") as folder:
            before, is_killed = killed(folder, definitions, seed, last, is_before)
            with node_in(folder) as node:
                assert node.shown() == before
                node.check()
                node.pass_on_all()
                assert node.shown() == before
            if not is_killed:
                return
    pytest.fail("no end")


def killed(
    folder: str, definitions: list[Definition], seed: int, last: int, is_before: bool
) -> tuple[Shown, bool]:
    """Kill a collector at a write; return the samples before, and whether it was killed."""
    left, set_end = last, Log._set_end

    def dying(log: Log, end: int) -> None:
        nonlocal left
        left -= 1
        if left or not is_before:
            set_end(log, end)
        if not left:
            raise Killed

    with node_in(folder) as node, pytest.MonkeyPatch.context() as patch:
        patch.setattr(inheritance, "MOST_IN_A_WRITE", 2)
        fill(node.families, definitions, seed)
        before = node.shown()
        patch.setattr(Log, "_set_end", dying)
        with contextlib.suppress(Killed):
            node.pass_on_all()
        return before, not left


def test_many_series_go_over_bit_by_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check ticks that let only so many go over; meanwhile, both shapes are shown."""
    monkeypatch.setattr(inheritance, "MOST_AT_ONCE", 100)
    monkeypatch.setattr(inheritance, "MOST_IN_A_WRITE", 30)
    with node_in(str(tmp_path)) as node:
        for definition in TWO:
            family = node.families.define(definition)
            assert isinstance(family, Family)
            for number in range(250):
                fill_row(family, family.row((str(number),)), random.Random(number))
        before = node.shown()
        _, old = node.shapes()
        for left in (150, 50):
            assert node.inheritance.pass_on([old]) == ([], 100)
            assert len(old) == left
            assert node.shown() == before
        assert node.inheritance.pass_on([old]) == ([old], 50)
        assert node.shown() == before
        node.check()
        node.families.remove([old])
        assert node.shown() == before


def test_where_there_is_no_room_both_are_shown_on(tmp_path: Path) -> None:
    with node_in(str(tmp_path)) as node:
        fill(node.families, TWO, 1, most=12)
        store = node.families.store
        before = node.shown()
        run = store.find(store.n_cells - store.used_cells)
        store._extents.take(*run)
        _, old = node.shapes()
        assert node.inheritance.pass_on([old]) == ([], 0)
        assert node.moved == []
        assert node.shown() == before
        store.give_back(run)
        assert node.inheritance.pass_on([old])[0] == [old]
        assert node.shown() == before


# ---- under lanes ----------------------------------------------------------------------------


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Loopback]:
    found = Loopback(tmp_path / "node", Settings(4 * MIB, old_shape_seconds=OLD_SHAPE_SECONDS))
    yield found
    found.collector.tick()
    found.release()


class Process:
    """A process of one release, which has one metric."""

    def __init__(self, node: Loopback, definition: Definition, *values: str) -> None:
        granted = node.collector.grant(Peer(1, 43, 43), Hello(layout.LAYOUT_VERSION, 64, "process"))
        assert isinstance(granted, Granted)
        self._node = node
        self.lane = LaneFile(granted.lane_fd)
        self.series = self.lane.series(definition.type, self.lane.family(definition), *values)
        node.collector.tick()

    def observe(self, value: float) -> None:
        self.lane.record(hostile.OBSERVE, self.series, value)

    def end(self) -> None:
        self._node.collector.tick()
        self.lane.close()
        self._node.collector.tick()


def pass_time(node: Loopback, seconds: float = OLD_SHAPE_SECONDS) -> None:
    now_ns = node.collector._monotonic_ns() + int(seconds * 1e9)
    node.collector._monotonic_ns = lambda: now_ns
    node.collector.tick()


OLD = Definition(HISTOGRAM, "a", "", "", "", ("q",), (1.0, 5.0))
NEW = OLD._replace(bounds=(0.5, 1.0, 2.0))


@pytest.mark.parametrize("labels", [(), ("q",)], ids=["without labels", "with a label"])
def test_living_processes_count_on(node: Loopback, labels: tuple[str, ...]) -> None:
    """Check that lanes follow the series, before and after a restart of the collector."""
    old = Process(node, OLD._replace(label_names=labels), *labels)
    new = [Process(node, NEW._replace(label_names=labels), *labels) for _ in range(2)]
    old.observe(0.25)
    for process in new:
        process.observe(1.5)
    old.end()
    name = node.collector.families.names.get("a")
    assert name is not None
    assert node.samples().sum("a_count") == 3
    cell = name.newest.cell(name.newest.row(labels))
    pass_time(node)
    assert len(name.shapes) == 1
    assert name.newest.cell(name.newest.row(labels)) != cell
    expected = 3
    for _ in range(2):
        for process in new:
            process.observe(1.5)
        expected += 2
        found = node.samples()
        assert found.sum("a_count") == expected
        assert found.sum("a_sum") == 0.25 + 1.5 * (expected - 1)
        buckets = {"0.5": 1, "1.0": 1, "2.0": expected, "+Inf": expected}
        assert buckets_of(found.of("a_bucket")) == buckets
        node.restart()
    for process in new:
        process.end()


def buckets_of(of: dict[tuple[tuple[str, str], ...], float]) -> dict[str, float]:
    return {dict(labels)["le"]: n for labels, n in of.items()}


def test_an_old_process_that_comes_back_begins_at_zero_and_totals_rise_on(node: Loopback) -> None:
    old, new = Process(node, OLD, "x"), Process(node, NEW, "x")
    old.observe(0.25)
    new.observe(0.25)
    old.end()
    pass_time(node)
    assert node.samples().value("a_count", q="x") == 2
    again = Process(node, OLD, "x")  # the youngest: its buckets are shown now
    assert buckets_of(node.samples().of("a_bucket")) == {"1.0": 2, "5.0": 2, "+Inf": 2}
    again.observe(0.25)
    assert node.samples().value("a_bucket", q="x", le="1.0") == 3
    again.end()
    assert node.samples().value("a_bucket", q="x", le="0.5") == 3
    pass_time(node)
    assert node.samples().value("a_bucket", q="x", le="0.5") == 3
    new.end()


@pytest.mark.parametrize("is_idle", [True, False], ids=["idle", "spent"])
def test_a_series_of_an_old_shape_that_is_removed_leaves_its_total(
    tmp_path: Path, is_idle: bool
) -> None:
    """Check a shape that processes still have."""
    seconds = 100.0
    node = Loopback(tmp_path / "idle", Settings(4 * MIB, series_idle_seconds=seconds * is_idle))
    other, old, new = Process(node, OLD, "y"), Process(node, OLD, "x"), Process(node, NEW, "x")
    old.observe(0.25)
    old.end()
    for _ in range(8):
        new.observe(0.25)
        other.observe(0.25)
        pass_time(node, seconds / 4)
    if not is_idle:
        node.samples()
        assert node.collector._spent.free_room(None)
    name = node.collector.families.names.get("a")
    assert name is not None
    assert [[values for _, values in shape.index] for shape in name.shapes] == [[("x",)], [("y",)]]
    assert node.samples().value("a_count", q="x") == 9
    other.end()
    new.end()
    node.release()


def test_an_old_shape_that_goes_early_leaves_its_totals(node: Loopback) -> None:
    """Check an old shape whose room another family or series needs."""
    old, new = Process(node, OLD, "x"), Process(node, NEW, "x")
    old.observe(0.25)
    new.observe(0.25)
    old.end()
    assert node.samples().value("a_count", q="x") == 2
    assert node.collector._unused.free_room(None)
    name = node.collector.families.names.get("a")
    assert name is not None
    assert len(name.shapes) == 1
    assert node.samples().value("a_count", q="x") == 2
    new.observe(0.25)
    assert node.samples().value("a_count", q="x") == 3
    new.end()
