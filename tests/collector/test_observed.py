# SPDX-License-Identifier: Apache-2.0
"""Observed counters on a node: what is shown is what a slow twin adds up, in all formats."""

from __future__ import annotations

import math
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shmetrics import layout
from shmetrics.dictionary import Definition
from shmetrics.registration.decision import Granted
from shmetrics.registration.peer import Peer
from shmetrics.registration.protocol import Hello
from shmetrics.render import openmetrics, protobuf, text
from tests.nodes import hostile
from tests.nodes.hostile import LaneFile
from tests.nodes.loopback import Loopback
from tests.nodes.samples import parse
from tests.render.client_model import parse as read_protobuf

PAGES = Definition(layout.TYPE_OBSERVED, "pages", "Pages", "", "", ("unit",), ())
COUNTED = Definition(layout.TYPE_COUNTER, "pages", "Pages", "", "", ("unit",), ())
WIDER = Definition(layout.TYPE_OBSERVED, "pages", "Pages", "", "", ("unit", "kind"), ())
SECOND_NS = 1_000_000_000
TOTAL, START = 0, 1  # cells of csrc/lane/layout.h


class Process:
    """A lane with one family of observed totals, written as an emitter does."""

    def __init__(self, node: Loopback, number: int, definition: Definition = PAGES) -> None:
        peer = Peer(1000 + number, 43, 43)
        granted = node.collector.grant(peer, Hello(layout.LAYOUT_VERSION, 64, "process"))
        assert isinstance(granted, Granted)
        self.lane = LaneFile(granted.lane_fd)
        self.lane.family(definition)
        self.cells: dict[tuple[str, ...], int] = {}
        self.totals: dict[tuple[str, ...], tuple[float, int]] = {}

    def _cell(self, values: tuple[str, ...]) -> int:
        if values not in self.cells:
            self.lane.series(layout.TYPE_OBSERVED, 1, *values)
            self.cells[values] = self.lane.parts["cells"][0] + 16 * len(self.cells)
        return self.cells[values]

    def define(self, *values: str) -> None:
        self._cell(values)

    def put(self, total: float, start_ns: int, *values: str) -> None:
        at = self._cell(values)
        self.lane.put_double(at + 8 * TOTAL, total)
        self.lane.put(at + 8 * START, start_ns)
        self.totals[values] = total, start_ns


def shown(node: Loopback) -> tuple[dict[str, float], dict[str, float]]:
    """Return totals and starts by unit; they are the same in all formats."""
    tables = [table for table in node.collector.tables() if table.name == "pages"]
    newer = parse(openmetrics.render(tables, {}, created=True).decode())
    totals = newer.of("pages_total")
    assert parse(text.render(tables, {}).decode()) == {
        ("pages_total", labels): total for labels, total in totals.items()
    }
    created = newer.of("pages_created")
    for family in read_protobuf(protobuf.render(tables, {})):
        metrics = {
            tuple((pair.name, pair.value) for pair in metric.label): metric.counter
            for metric in family.metric
        }
        assert {labels: counter.value for labels, counter in metrics.items()} == totals
        assert {
            labels: counter.created_timestamp.seconds
            for labels, counter in metrics.items()
            if counter.HasField("created_timestamp")
        } == {labels: int(start) for labels, start in created.items()}
    return (
        {dict(labels)["unit"]: total for labels, total in totals.items()},
        {dict(labels)["unit"]: start for labels, start in created.items()},
    )


class Observing(RuleBasedStateMachine):
    """A node, and its twin, while processes come and go, and set totals."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(prefix="shm-observed-")
        self.node = Loopback(Path(self._folder.name) / "node")
        self.processes: list[Process] = []
        self.n_processes = 0
        self.ahead_ns = time.time_ns() - time.monotonic_ns()

    def teardown(self) -> None:
        for process in self.processes:
            process.lane.close()
        self.node.collector.tick()
        self.node.release()
        self._folder.cleanup()

    @precondition(lambda self: len(self.processes) < 4)
    @rule()
    def start(self) -> None:
        self.processes.append(Process(self.node, self.n_processes))
        self.n_processes += 1

    @precondition(lambda self: self.processes)
    @rule(data=st.data(), unit=st.sampled_from("abc"), more=st.integers(0, 100))
    def set_total(self, data: st.DataObject, unit: str, more: int) -> None:
        process = data.draw(st.sampled_from(self.processes), "process")
        total, start_ns = process.totals.get((unit,), (0.0, layout.START_UNKNOWN))
        process.put(total + more, start_ns, unit)

    @precondition(lambda self: self.processes)
    @rule(data=st.data(), unit=st.sampled_from("abc"), total=st.integers(0, 100))
    def new_generation(self, data: st.DataObject, unit: str, total: int) -> None:
        process = data.draw(st.sampled_from(self.processes), "process")
        process.put(total, time.monotonic_ns(), unit)

    @precondition(lambda self: self.processes)
    @rule(data=st.data(), unit=st.sampled_from("abc"))
    def define(self, data: st.DataObject, unit: str) -> None:
        data.draw(st.sampled_from(self.processes), "process").define(unit)

    @precondition(lambda self: self.processes)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        process = data.draw(st.sampled_from(self.processes), "process")
        self.processes.remove(process)
        process.lane.close()
        self.node.collector.tick()

    @rule()
    def restart(self) -> None:
        self.node.restart()

    @invariant()
    def shows_the_twin(self) -> None:
        totals: dict[str, float] = {}
        starts: dict[str, float] = {}
        for process in self.processes:
            for (unit,), (total, start_ns) in process.totals.items():
                totals[unit] = totals.get(unit, 0.0) + total
                is_known = start_ns != layout.START_UNKNOWN
                start = (start_ns + self.ahead_ns) / SECOND_NS if is_known else math.inf
                starts[unit] = max(starts.get(unit, 0.0), start)
        found, created = shown(self.node)
        assert found == totals
        starts = {unit: start for unit, start in starts.items() if start < math.inf}
        assert created == pytest.approx(starts, abs=0.5)


TestObserving = Observing.TestCase


def test_a_start_in_the_future_is_now_and_stays(loopback: Loopback) -> None:
    process = Process(loopback, 1)
    process.put(1.0, 2**63, "a")
    _, first = shown(loopback)
    assert first["a"] == pytest.approx(time.time(), abs=60)
    _, second = shown(loopback)
    assert second == first
    process.lane.close()


@pytest.mark.parametrize("total", [-1.0, math.nan, math.inf, -math.inf], ids=repr)
def test_a_total_that_no_counter_has_is_not_shown(loopback: Loopback, total: float) -> None:
    process = Process(loopback, 1)
    process.put(total, layout.START_UNKNOWN, "a")
    process.put(2.0, layout.START_UNKNOWN, "b")
    assert shown(loopback)[0] == {"b": 2.0}
    process.lane.close()


def test_a_counter_of_the_same_name_is_a_contradiction(loopback: Loopback) -> None:
    """Check that it is refused while the other process lives, and taken then."""
    observing, counting = Process(loopback, 1), Process(loopback, 2, COUNTED)
    observing.put(5.0, layout.START_UNKNOWN, "a")
    loopback.collector.tick()
    counting.lane.record(hostile.ADD, counting.lane.series(layout.TYPE_COUNTER, 1, "a"), 3.0)
    assert shown(loopback)[0] == {"a": 5.0}
    refused = [lane["refused"] for lane in loopback.collector.lanes() if lane["pid"] == 1002]
    assert refused == [{"conflict": 1}]
    observing.lane.close()
    loopback.collector.tick()
    counting.lane.record(hostile.ADD, 1, 4.0)
    assert shown(loopback)[0] == {"a": 4.0}
    counting.lane.close()


def test_two_shapes_are_shown_together(loopback: Loopback) -> None:
    old, new = Process(loopback, 1), Process(loopback, 2, WIDER)
    old.put(5.0, layout.START_UNKNOWN, "a")
    new.put(3.0, layout.START_UNKNOWN, "a", "cpu")
    found = loopback.samples().of("pages_total")
    assert found == {(("unit", "a"),): 5.0, (("kind", "cpu"), ("unit", "a")): 3.0}
    old.lane.close()
    loopback.collector.tick()
    assert loopback.samples().of("pages_total") == {(("kind", "cpu"), ("unit", "a")): 3.0}
    new.lane.close()


def test_a_family_that_is_forgotten_comes_back_with_its_totals(loopback: Loopback) -> None:
    process = Process(loopback, 1)
    process.put(5.0, layout.START_UNKNOWN, "a")
    assert shown(loopback)[0] == {"a": 5.0}
    loopback.collector.forget("pages_total", force=True)
    assert shown(loopback)[0] == {"a": 5.0}
    process.lane.close()


def test_the_text_of_labels_is_made_once(loopback: Loopback) -> None:
    """Check that the text is not made again while the label sets are the same."""
    process = Process(loopback, 1)

    def series() -> object:
        return next(table.series for table in loopback.collector.tables() if table.name == "pages")

    process.put(5.0, layout.START_UNKNOWN, "a")
    first = series()
    process.put(6.0, layout.START_UNKNOWN, "a")
    assert series() is first
    process.put(1.0, layout.START_UNKNOWN, "b")
    assert series() is not first
    process.lane.close()
