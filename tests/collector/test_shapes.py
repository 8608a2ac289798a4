# SPDX-License-Identifier: Apache-2.0
"""A name in several shapes: what is shown is what a slow twin counts, and valid in all formats."""

from __future__ import annotations

import tempfile
from bisect import bisect_left
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shmetrics import layout
from shmetrics.collector.collector import Collector, Settings
from shmetrics.collector.directory import Directory
from shmetrics.dictionary import Definition
from shmetrics.registration.decision import Granted
from shmetrics.registration.peer import Peer
from shmetrics.registration.protocol import Hello
from shmetrics.render import openmetrics, protobuf, text
from shmetrics.sample_names import sample_names
from shmetrics.store.exponential import covering
from shmetrics.store.self_metrics import SelfMetrics
from shmetrics.tables.table import Table
from tests.nodes import hostile
from tests.nodes.hostile import LaneFile
from tests.nodes.loopback import MIB, Loopback
from tests.nodes.samples import Samples, parse
from tests.render.client_model import parse as read_protobuf

OLD_SHAPE_SECONDS = 60.0
SETTINGS = Settings(4 * MIB, old_shape_seconds=OLD_SHAPE_SECONDS)
COUNTER, GAUGE, HISTOGRAM = layout.TYPE_COUNTER, layout.TYPE_GAUGE, layout.TYPE_HISTOGRAM


def counter(name: str, help: str, *labels: str) -> Definition:
    return Definition(COUNTER, name, help, "", "", labels, ())


def gauge(name: str, mode: str, *labels: str) -> Definition:
    return Definition(GAUGE, name, mode, "", mode, labels, ())


def histogram(name: str, bounds: tuple[float, ...], *labels: str) -> Definition:
    return Definition(HISTOGRAM, name, "Size", "", "", labels, bounds)


DEFINITIONS = (
    counter("a", "one", "q"),
    counter("a", "two", "q"),
    counter("a", "one", "q", "t"),
    counter("a", "three", "t", "q"),
    counter("a", "four"),
    gauge("a", "sum", "q"),
    gauge("a", "livesum", "q"),
    gauge("a", "livesum", "q", "t"),
    gauge("a", "liveall", "q"),
    histogram("a", (1.0, 5.0), "q"),
    histogram("a", (0.5, 1.0, 2.0), "q"),
    histogram("a", (0.5, 1.0, 2.0), "q", "t"),
    histogram("a", ()),
    counter("a_count", "five", "q"),
    gauge("a_sum", "livesum"),
)


def shape_of(definition: Definition) -> tuple[object, ...]:
    is_per_process = definition.mode.endswith("all")
    return definition.type, definition.label_names, definition.bounds, is_per_process


class Process:
    """A lane, with what it has defined."""

    def __init__(self, number: int, lane: LaneFile, lane_id: int) -> None:
        self.lane = lane
        self.pid = str(1000 + number)
        self.lane_id = lane_id
        self.defined: list[Definition] = []
        self.series: dict[tuple[int, tuple[str, ...]], tuple[int, int]] = {}
        self.gauges: dict[tuple[int, tuple[str, ...]], float] = {}
        self.cells = 0

    def define(self, definition: Definition) -> None:
        self.lane.family(definition)
        self.defined.append(definition)

    def record(self, number: int, values: tuple[str, ...], value: float) -> None:
        definition = self.defined[number]
        known = self.series.get((number, values))
        if known is None:
            series = self.lane.series(definition.type, number + 1, *values)
            known = self.series[number, values] = series, self.cells
            self.cells += layout.cells_of(definition.type, len(definition.bounds))
        series, cell = known
        if definition.type == GAUGE:
            at = self.lane.parts["cells"][0] + 8 * cell
            self.lane.put_double(at + 8 * layout.CELL_VALUE, value)
            self.lane.put(at + 8 * layout.CELL_STAMP, 1)
            self.lane.put(hostile.GAUGE_WRITES_AT, 1)
            self.gauges[number, values] = value
        else:
            kind = hostile.ADD if definition.type == COUNTER else hostile.OBSERVE
            self.lane.record(kind, series, value)


class Holder(NamedTuple):
    """A family of a lane: the lane, and the number of the family there."""

    lane_id: int
    number: int


class Recorded(NamedTuple):
    """A value that was recorded, and the bound of the bucket that it was counted in."""

    value: float
    bound: float = 0.0


class Shape:
    """A shape of a name."""

    def __init__(self, id: int, definition: Definition) -> None:
        self.id = id
        self.definition = definition
        self.holders: dict[Holder, Definition] = {}
        self.rows: dict[tuple[str, ...], list[Recorded]] = {}  # of gauges, what was left
        self.unheld_since: float | None = None

    def recorded(self, value: float, bound: float) -> Recorded:
        """Return a value of which only a bound is known."""
        bounds = (*_fine(self.definition.bounds), float("inf"))
        return Recorded(value, bounds[bisect_left(bounds, bound)])

    def inherit(self, old: Shape) -> None:
        """Take over the totals of an old shape's same series."""
        heirs = {_labels(self.definition, values): found for values, found in self.rows.items()}
        for values, recorded in old.rows.items():
            heir = heirs.get(_labels(old.definition, values))
            if heir is not None:
                heir.extend(self.recorded(*each) for each in recorded)

    def rank(self, definition: Definition) -> Holder:
        return min(holder for holder, has in self.holders.items() if has == definition)

    def since(self) -> Holder:
        return max(map(self.rank, self.holders.values()))

    def settle(self) -> None:
        if self.holders:
            self.definition = max(self.holders.values(), key=self.rank)


class Shapes(RuleBasedStateMachine):
    """A node, and its twin, while processes of several releases come and go."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(prefix="shm-shapes-")
        self.node = Loopback(Path(self._folder.name) / "node", SETTINGS)
        self.processes: list[Process] = []
        self.names: dict[str, list[Shape]] = {}
        self.bound: dict[Holder, Shape] = {}
        self.n_processes = self.n_shapes = 0
        self.now = 1e6

    def teardown(self) -> None:
        for process in self.processes:
            process.lane.close()
        self.node.collector.tick()
        self.node.release()
        self._folder.cleanup()

    # ---- the twin ---------------------------------------------------------------------------

    def _in_the_way(self, definition: Definition) -> list[str]:
        names = sample_names(definition) | {definition.name}
        return [
            name
            for name, shapes in self.names.items()
            if (name != definition.name or shapes[0].definition.type != definition.type)
            and names & (sample_names(shapes[0].definition) | {name})
        ]

    def _take(self, process: Process, number: int) -> None:
        """Define a family of a process, or refuse it."""
        definition = process.defined[number]
        others = self._in_the_way(definition)
        if any(shape.holders for name in others for shape in self.names[name]):
            return
        for name in others:
            del self.names[name]
        shapes = self.names.setdefault(definition.name, [])
        found = [one for one in shapes if shape_of(one.definition) == shape_of(definition)]
        if not found:
            found = [Shape(self.n_shapes, definition)]
            self.n_shapes += 1
            shapes.insert(0, found[0])
        [shape] = found
        holder = Holder(process.lane_id, number)
        shape.holders[holder] = definition
        self.bound[holder] = shape
        for of, values in process.series:
            if of == number and definition.type != GAUGE:
                shape.rows.setdefault(values, [])

    def _settle(self) -> None:
        """Do the same as a tick."""
        for process in self.processes:
            for number in range(len(process.defined)):
                if Holder(process.lane_id, number) not in self.bound:
                    self._take(process, number)
        for name, shapes in list(self.names.items()):
            if len(shapes) > 1:
                held = [shape for shape in shapes if shape.holders]
                held.sort(key=Shape.since, reverse=True)
                shapes[:] = held + [shape for shape in shapes if not shape.holders]
            shapes[0].settle()
            newest = shapes[0]
            shapes[:] = [shape for shape in shapes if self._stays(shape, newest)]
            if not shapes:
                del self.names[name]

    def _stays(self, shape: Shape, newest: Shape) -> bool:
        """Return whether a shape stays. One that nobody has goes if it is empty or old."""
        if shape.holders:
            shape.unheld_since = None
            return True
        if shape.unheld_since is None:
            shape.unheld_since = self.now
        is_old = shape is not newest and shape.unheld_since <= self.now - OLD_SHAPE_SECONDS
        if is_old and newest.definition.type != GAUGE:
            newest.inherit(shape)
        return bool(shape.rows) and not is_old

    def _now_ns(self) -> int:
        return int(self.now * 1e9)

    def _tick(self) -> None:
        self.node.collector._monotonic_ns = self._now_ns
        self.node.collector.tick()
        self._settle()

    # ---- what happens -----------------------------------------------------------------------

    @precondition(lambda self: len(self.processes) < 5)
    @rule()
    def start(self) -> None:
        peer = Peer(1000 + self.n_processes, 43, 43)
        granted = self.node.collector.grant(peer, Hello(layout.LAYOUT_VERSION, 64, "process"))
        assert isinstance(granted, Granted)
        process = Process(self.n_processes, LaneFile(granted.lane_fd), granted.lane_id)
        self.processes.append(process)
        self.n_processes += 1

    @precondition(lambda self: self.processes)
    @rule(data=st.data())
    def define(self, data: st.DataObject) -> None:
        process = data.draw(st.sampled_from(self.processes), "process")
        definition = data.draw(st.sampled_from(DEFINITIONS), "definition")
        if definition.name not in {known.name for known in process.defined}:
            process.define(definition)
            self._take(process, len(process.defined) - 1)
            self._tick()

    @precondition(lambda self: any(process.defined for process in self.processes))
    @rule(data=st.data(), value=st.sampled_from([0.25, 1.0, 1.5, 4.0, 100.0]))
    def record(self, data: st.DataObject, value: float) -> None:
        those = [process for process in self.processes if process.defined]
        process = data.draw(st.sampled_from(those), "process")
        number = data.draw(st.integers(0, len(process.defined) - 1), "family")
        definition = process.defined[number]
        values = tuple(
            data.draw(st.sampled_from(["", "x", "y"]), label) for label in definition.label_names
        )
        process.record(number, values, value)
        shape = self.bound.get(Holder(process.lane_id, number))
        if shape is not None and definition.type != GAUGE:
            shape.rows.setdefault(values, []).append(shape.recorded(value, value))

    @precondition(lambda self: self.processes)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        process = data.draw(st.sampled_from(self.processes), "process")
        self._tick()
        self.processes.remove(process)
        process.lane.close()
        for number, definition in enumerate(process.defined):
            holder = Holder(process.lane_id, number)
            shape = self.bound.pop(holder, None)
            if shape is None:
                continue
            shapes = self.names[definition.name]
            mode = shape.definition.mode
            for (of, values), value in process.gauges.items():
                if of == number and not mode.startswith("live"):
                    shape.rows.setdefault(values, []).append(Recorded(value))
            del shape.holders[holder]
            assert shape in shapes
        self._tick()

    @rule(seconds=st.sampled_from([1.0, 40.0, 61.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self._tick()

    @rule()
    def restart(self) -> None:
        self._tick()
        self.node.release()
        self.node.directory = Directory(self.node.path)
        self.node.collector = Collector(
            self.node.directory, SETTINGS, SelfMetrics("test"), monotonic_ns=self._now_ns
        )
        for shapes in self.names.values():
            shapes.sort(key=lambda shape: shape.id, reverse=True)
            for shape in shapes:
                shape.unheld_since = None
        self._tick()

    # ---- what is shown ----------------------------------------------------------------------

    @invariant()
    def shows_the_twin(self) -> None:
        tables = self._tables()
        as_text = text.render(tables, {}).decode()
        found = _of_emitters(parse(as_text))
        assert found == self._expected()
        newer = parse(openmetrics.render(tables, {}).decode())
        of_emitters = _of_emitters(newer).items()
        assert {key: value for key, value in of_emitters if "_created" not in key[0]} == found
        heads = Counter(line.split(" ", 3)[2] for line in as_text.splitlines() if "# HELP" in line)
        assert set(heads.values()) <= {1}
        helps = dict(
            line.removeprefix("# HELP ").split(" ", 1)
            for line in as_text.splitlines()
            if line.startswith("# HELP a")
        )
        assert {name.removesuffix("_total"): help for name, help in helps.items()} == {
            name: shapes[0].definition.help for name, shapes in self.names.items()
        }
        self._check_protobuf(found)

    def _tables(self, native: bool = False) -> list[Table]:
        """Return the tables that the twin has, without those of the collector's own metrics."""
        tables = self.node.collector.tables(native)
        return [table for table in tables if table.name in ("a", "a_count", "a_sum")]

    def _check_protobuf(self, found: Samples) -> None:
        """Check that no two families or series are alike, and totals are the same, native
        buckets as well."""
        families = read_protobuf(protobuf.render(self._tables(native=True), {}))
        names = [family.name for family in families]
        assert len(names) == len(set(names))
        for family in families:
            labels = [
                tuple(sorted((pair.name, pair.value) for pair in metric.label if pair.value))
                for metric in family.metric
            ]
            assert len(labels) == len(set(labels))
            for key, metric in zip(labels, family.metric, strict=True):
                if family.type == 4 and family.name == "a":
                    assert metric.histogram.sample_count == found["a_count", key]
                    counts = metric.histogram
                    total = running = 0
                    for delta in counts.positive_delta:
                        running += delta
                        total += running
                    if counts.positive_delta or counts.zero_count:
                        assert total + counts.zero_count == counts.sample_count

    def _expected(self) -> Samples:
        found = Samples()
        for name, shapes in self.names.items():
            newest = shapes[0].definition
            if newest.type == GAUGE:
                found.update(self._expected_gauge(name, shapes))
                continue
            merged: dict[tuple[tuple[str, str], ...], list[float]] = {}
            for shape in shapes:
                for values, recorded in shape.rows.items():
                    labels = _labels(shape.definition, values)
                    merged.setdefault(labels, []).extend(each.value for each in recorded)
            for labels, total in merged.items():
                if newest.type == COUNTER:
                    found[f"{name}_total", labels] = sum(total)
            if newest.type == HISTOGRAM:
                found.update(self._expected_histogram(name, shapes))
        return found

    def _expected_histogram(self, name: str, shapes: list[Shape]) -> Samples:
        found = Samples()
        bounds = (*shapes[0].definition.bounds, float("inf"))
        for shape in shapes:
            for values, recorded in shape.rows.items():
                labels = _labels(shape.definition, values)
                for bound in bounds:
                    key = f"{name}_bucket", tuple(sorted((*labels, ("le", _le(bound)))))
                    fits = [each for each in recorded if each.bound <= bound]
                    found[key] = found.get(key, 0) + len(fits)
                total = sum(each.value for each in recorded)
                for suffix, value in (("_count", len(recorded)), ("_sum", total)):
                    found[name + suffix, labels] = found.get((name + suffix, labels), 0) + value
        return found

    def _expected_gauge(self, name: str, shapes: list[Shape]) -> Samples:
        found = Samples()
        mode = shapes[0].definition.mode
        if not mode.startswith("live"):
            for shape in shapes:
                for values, left in shape.rows.items():
                    labels = _labels(shape.definition, values)
                    found[name, labels] = found.get((name, labels), 0) + sum(
                        each.value for each in left
                    )
        for process in self.processes:
            for (number, values), value in process.gauges.items():
                holder = Holder(process.lane_id, number)
                if process.defined[number].name == name and holder in self.bound:
                    labels = _labels(process.defined[number], values)
                    if mode.endswith("all"):
                        labels = tuple(sorted((*labels, ("pid", process.pid))))
                    found[name, labels] = found.get((name, labels), 0) + value
        return found


def _labels(definition: Definition, values: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    named = zip(definition.label_names, values, strict=True)
    return tuple(sorted((name, value) for name, value in named if value))


def _fine(bounds: tuple[float, ...]) -> list[float]:
    """Return all bounds of a family, the exponential ones as well."""
    exponential = covering(bounds)
    return sorted({*bounds, *(exponential.bounds() if exponential else ())})


def _le(bound: float) -> str:
    return "+Inf" if bound == float("inf") else str(bound)


def _of_emitters(found: Samples) -> Samples:
    """Return the samples of a, and of names that begin with it; empty labels are no labels."""
    return Samples(
        {
            (name, tuple(pair for pair in labels if pair[1])): value
            for (name, labels), value in found.items()
            if name == "a" or name.startswith("a_")
        }
    )


TestShapes = Shapes.TestCase
TestShapes.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


def test_a_restart_does_not_give_a_name_to_the_lane_that_is_read_first() -> None:
    shapes = Shapes()
    shapes.start()
    shapes.start()
    first, second = shapes.processes
    for process, definition in (
        (second, gauge("a", "sum", "q")),
        (first, counter("a", "one", "q")),
    ):
        process.define(definition)
        shapes._take(process, 0)
        shapes._tick()
    second.record(0, ("x",), 1.5)
    shapes.restart()
    shapes.shows_the_twin()
    assert shapes._expected() == {("a", (("q", "x"),)): 1.5}
    shapes.teardown()
