# SPDX-License-Identifier: Apache-2.0
"""Gauges of many processes: each multiprocess_mode, for the living and the dead."""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmetrics import layout
from shmetrics.definitions import GAUGE_MODES, Refusal
from shmetrics.dictionary import Definition
from shmetrics.store.families import Families
from shmetrics.store.family import Family
from shmetrics.store.gauges import Gauges, GaugeValue
from shmetrics.store.limits import Limits
from tests.nodes.node import Node
from tests.nodes.opened import opened
from tests.nodes.samples import Labels

MODES = sorted(GAUGE_MODES)


class Process(NamedTuple):
    """One process's gauge of one label value."""

    queue: str
    value: float
    is_alive: bool


def is_kept(mode: str, value: float) -> bool:
    """Return whether the value of a dead process counts."""
    combined = mode in ("sum", "min", "max")
    return not mode.startswith("live") and (math.isfinite(value) or not combined)


def numbers(values: list[float]) -> list[float]:
    """Return values without those that are no number, unless there is nothing else."""
    return [value for value in values if not math.isnan(value)] or values


def twin(mode: str, processes: list[Process]) -> dict[Labels, float]:
    """Return the values that the modes define. A process's place is its pid and its time."""
    found: dict[Labels, list[float]] = {}
    for pid, process in enumerate(processes):
        if process.is_alive or is_kept(mode, process.value):
            labels: Labels = (("queue", process.queue),)
            if mode.endswith("all"):
                labels = (("pid", str(pid)), *labels)
            found.setdefault(labels, []).append(process.value)
    combine: dict[str, Callable[[list[float]], float]] = {
        "all": max,
        "sum": sum,
        "min": lambda all_: min(numbers(all_)),
        "max": lambda all_: max(numbers(all_)),
        "mostrecent": lambda all_: all_[-1],
    }
    return {key: combine[mode.removeprefix("live")](values) for key, values in found.items()}


def test_there_are_ten_modes() -> None:
    assert len(MODES) == 10


process = st.builds(
    Process,
    st.sampled_from(["fast", "slow"]),
    st.integers(-64, 64).map(lambda n: n / 8) | st.sampled_from((math.nan, math.inf, -math.inf)),
    st.booleans(),
)


def define(families: Families, mode: str, *labels: str) -> tuple[Gauges, Family]:
    gauges = Gauges(families)
    family = gauges.define(Definition(layout.TYPE_GAUGE, "busy", "Busy", "", mode, labels, ()))
    assert isinstance(family, Family)
    return gauges, family


class Taken:
    """A stand-in for a lane, for gauges that are in none. Gauges that are lost because they are not
    finite have a cell of their own."""

    def __init__(self, families: Families) -> None:
        self._cells = families.store.cells.view(np.float64)
        self._bad_values = len(self._cells) - 1

    def retire(self, gauges: Gauges, values: list[GaugeValue]) -> int:
        return gauges.retire(values, self._add, self._bad_values)

    def _add(self, found: GaugeValue, cell: int) -> None:
        self._cells[cell] += found.value if math.isfinite(found.value) else 1

    @property
    def bad_values(self) -> float:
        return float(self._cells[self._bad_values])


def values_of(family: Family, processes: list[Process], *, are_alive: bool) -> list[GaugeValue]:
    return [
        GaugeValue(family, (one.queue,), str(pid), one.value, pid + 1)
        for pid, one in enumerate(processes)
        if one.is_alive is are_alive
    ]


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=40, deadline=None)
@given(processes=st.lists(process, max_size=8), random=st.randoms(use_true_random=False))
def test_a_mode_shows_what_its_definition_says(
    mode: str, processes: list[Process], random: Random
) -> None:
    """Check deaths in any order, with a restart of the collector after them."""
    with tempfile.TemporaryDirectory(prefix="shm-gauges-") as folder:
        path = Path(folder) / "store"
        with opened(path) as families:
            gauges, family = define(families, mode, "queue")
            dead = values_of(family, processes, are_alive=False)
            random.shuffle(dead)
            taken = Taken(families)
            assert taken.retire(gauges, dead) == 0
            lost = 0 if mode.startswith("live") else len(dead)
            lost -= sum(is_kept(mode, one.value) for one in dead)
            assert taken.bad_values == lost
            del gauges, family, dead, taken
        with opened(path) as families:
            gauges, family = define(families, mode, "queue")
            living = values_of(family, processes, are_alive=True)
            random.shuffle(living)
            names = family.definition.label_names
            found = {
                tuple(sorted(zip(names, values, strict=True))): value
                for values, value in gauges.collect(family, living).items()
            }
            del gauges, family, living
    assert found == pytest.approx(twin(mode, processes), rel=0, abs=0, nan_ok=True)


def test_a_pid_that_comes_again_is_the_later_process(tmp_path: Path) -> None:
    with opened(tmp_path / "store") as families:
        gauges, family = define(families, "all")
        taken = Taken(families)
        taken.retire(gauges, [GaugeValue(family, (), "7", 1.0, 0)])
        taken.retire(gauges, [GaugeValue(family, (), "7", 2.0, 0)])
        assert gauges.collect(family, []) == {("7",): 2.0}
        assert gauges.collect(family, [GaugeValue(family, (), "7", 3.0, 0)]) == {("7",): 3.0}
        del gauges, family, taken


@pytest.mark.parametrize("restarts", [False, True])
def test_what_an_earlier_process_left_under_a_pid_goes_when_another_one_has_it(
    tmp_path: Path, restarts: bool
) -> None:
    """Check that all of it goes, and nothing of other processes."""
    with opened(tmp_path / "store") as families:
        gauges, family = define(families, "all", "queue")
        taken = Taken(families)
        for pid, queue in (("7", "fast"), ("7", "slow"), ("8", "fast")):
            taken.retire(gauges, [GaugeValue(family, (queue,), pid, 1.0, 0)])
        if restarts:
            gauges = Gauges(families)
        gauges.begin("7")
        assert gauges.collect(family, []) == {("fast", "8"): 1.0}
        gauges.begin("lane-9")
        taken.retire(gauges, [GaugeValue(family, ("slow",), "7", 2.0, 0)])
        assert gauges.collect(family, []) == {("fast", "8"): 1.0, ("slow", "7"): 2.0}
        del gauges, family, taken


def test_what_went_is_not_taken_for_another_series_that_has_its_row(tmp_path: Path) -> None:
    """Check series that were idle, and left by themselves, with rows that are used again."""
    with opened(tmp_path / "store") as families:
        gauges, family = define(families, "all", "queue")
        taken = Taken(families)
        taken.retire(gauges, [GaugeValue(family, ("fast",), "7", 1.0, 0)])
        family.remove([family.row(("fast", "7"))])
        taken.retire(gauges, [GaugeValue(family, ("fast",), "8", 2.0, 0)])
        gauges.begin("7")
        family.show_all()
        assert gauges.collect(family, []) == {("fast", "8"): 2.0}
        del gauges, family, taken


@pytest.mark.parametrize("mode", ["sum", "min", "max"])
@pytest.mark.parametrize("kept", [math.nan, math.inf, -math.inf])
def test_what_another_version_kept_and_is_not_finite_is_let_go(
    tmp_path: Path, mode: str, kept: float
) -> None:
    with opened(tmp_path / "store") as families:
        gauges, family = define(families, mode)
        taken = Taken(families)
        taken.retire(gauges, [GaugeValue(family, (), "7", 1.0, 0)])
        family.cells(family.row(())).view(np.float64)[layout.CELL_VALUE] = kept
        gauges = Gauges(families)
        assert gauges.collect(family, []) == {}
        taken.retire(gauges, [GaugeValue(family, (), "8", 2.0, 0)])
        assert gauges.collect(family, []) == {(): 2.0}
        del gauges, family, taken


class Clock:
    """A clock with the seconds that a test sets."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.mark.parametrize("mode", MODES)
def test_the_series_of_a_dead_process_leaves_after_a_while(tmp_path: Path, mode: str) -> None:
    """Check that its row is free then, and that the shared series stay."""
    clock = Clock()
    with opened(tmp_path / "store") as families:
        _, family = define(families, mode, "queue")
        gauges = Gauges(families, 300.0, clock)
        taken = Taken(families)
        for pid in range(100):
            taken.retire(gauges, [GaugeValue(family, ("fast",), f"{pid}", 1.0, 0)])
            clock.seconds += 10.0
            gauges.check()
            per_process = {"all": min(pid + 1, 29), "liveall": 0}
            stays = 0 if mode.startswith("live") else 1
            assert len(gauges.collect(family, [])) == per_process.get(mode, stays)
            assert len(family) == per_process.get(mode, stays)
        del gauges, family, taken


def test_a_restarted_collector_waits_once_more(tmp_path: Path) -> None:
    clock = Clock()
    with opened(tmp_path / "store") as families:
        _, family = define(families, "all")
        gauges = Gauges(families, 300.0, clock)
        taken = Taken(families)
        taken.retire(gauges, [GaugeValue(family, (), "7", 1.0, 0)])
        clock.seconds += 299.0
        gauges.check()
        gauges = Gauges(families, 300.0, clock)
        clock.seconds += 299.0
        gauges.check()
        assert gauges.collect(family, []) == {("7",): 1.0}
        clock.seconds += 1.0
        gauges.check()
        assert gauges.collect(family, []) == {}
        del gauges, family, taken


def test_0_seconds_are_for_ever(tmp_path: Path) -> None:
    clock = Clock()
    with opened(tmp_path / "store") as families:
        _, family = define(families, "all")
        gauges = Gauges(families, 0.0, clock)
        taken = Taken(families)
        taken.retire(gauges, [GaugeValue(family, (), "7", 1.0, 0)])
        clock.seconds = 1e9
        gauges.check()
        assert gauges.collect(family, []) == {("7",): 1.0}
        del gauges, family, taken


def test_what_is_gone_is_not_remembered_for_ever(tmp_path: Path) -> None:
    """Check series that would stay for ever, and go to make room for others."""
    with opened(tmp_path / "store") as families:
        _, family = define(families, "all")
        gauges = Gauges(families)
        taken = Taken(families)
        most = 0
        for pid in range(2000):
            taken.retire(gauges, [GaugeValue(family, (), str(pid), 1.0, 0)])
            if pid >= 10:
                family.remove([family.row((str(pid - 10),))])
            most = max(most, gauges.n_left)
        assert len(family) == 10
        assert most <= 100
        gauges.begin("1999")  # what is there is remembered
        assert len(family) == 9
        del gauges, family, taken


def test_processes_beyond_a_limit_are_not_remembered_for_ever(tmp_path: Path) -> None:
    with opened(tmp_path / "store", limits=Limits(series_per_family=5)) as families:
        _, family = define(families, "all")
        gauges = Gauges(families)
        taken = Taken(families)
        for pid in range(200):
            taken.retire(gauges, [GaugeValue(family, (), str(pid), 1.0, 0)])
        assert gauges.n_left <= 5
        del gauges, family, taken


@pytest.mark.parametrize("mode", sorted(mode for mode in MODES if not mode.startswith("live")))
def test_gauges_of_dead_processes_beyond_a_limit_are_no_series_together(
    tmp_path: Path, mode: str
) -> None:
    """Check that they are counted as lost: their sum, and the last of them, mean nothing."""
    with opened(tmp_path / "store", limits=Limits(series_per_family=5)) as families:
        gauges, family = define(families, mode, "queue")
        taken = Taken(families)
        values = [GaugeValue(family, (str(n),), "7", float(n), 1 + n) for n in range(8)]
        assert taken.retire(gauges, values) == 8 - 5
        found = gauges.collect(family, [])
        assert {labels[0]: value for labels, value in found.items()} == {
            str(n): float(n) for n in range(5)
        }
        del gauges, family, taken


@pytest.mark.parametrize("labels", [(), ("queue",)])
def test_an_overflow_series_that_another_version_kept_is_let_go(
    tmp_path: Path, labels: tuple[str, ...]
) -> None:
    """Check that a gauge without labels, whose row is the same, is not."""
    values = ("__overflow__",) * len(labels)
    with opened(tmp_path / "store") as families:
        gauges, family = define(families, "max", *labels)
        taken = Taken(families)
        taken.retire(gauges, [GaugeValue(family, values, "7", 2.0, 1)])
        assert gauges.collect(family, []) == {values: 2.0}
        assert Gauges(families).collect(family, []) == ({} if labels else {values: 2.0})
        del gauges, family, taken


def test_a_dead_process_with_two_lanes_leaves_once(tmp_path: Path) -> None:
    """Check that the time runs from its first death."""
    clock = Clock()
    with opened(tmp_path / "store") as families:
        _, family = define(families, "all", "queue")
        gauges = Gauges(families, 300.0, clock)
        taken = Taken(families)
        for queue in ("fast", "slow"):
            taken.retire(gauges, [GaugeValue(family, (queue,), "7", 1.0, 0)])
            clock.seconds += 200.0
        assert len(gauges.collect(family, [])) == 2
        gauges.check()
        assert gauges.collect(family, []) == {}
        assert len(family) == 0
        del gauges, family, taken


def test_the_label_pid_is_the_collectors(tmp_path: Path) -> None:
    with opened(tmp_path / "store") as families:
        definition = Definition(layout.TYPE_GAUGE, "busy", "Busy", "", "all", ("pid",), ())
        refusal = Gauges(families).define(definition)
        assert isinstance(refusal, Refusal)
        assert refusal[:2] == ("bad_label_name", "busy: label pid is the collector's")
        assert isinstance(Gauges(families).define(definition._replace(mode="sum")), Family)


def test_processes_that_come_and_go(node: Node) -> None:
    """Check that one dies first, and of two others, the first writer has the higher pid."""
    node.start()
    code = f"""
    MODES = {MODES}
    gauges = {{
        mode: shmetrics.Gauge(f"busy_{{mode}}", "Busy", ["queue"], multiprocess_mode=mode)
        for mode in MODES
    }}
    for mode in MODES:
        gauges[mode].labels("fast").set(float(os.environ["VALUE"]))
    pause("set")
    """
    values = (8, 1, 4)
    emitters = []
    for value in values:
        emitter = node.emitter(code, VALUE=str(value))
        emitters.append(emitter)
        emitter.until("set")
    emitters[0].kill()
    node.until_lanes(2)
    processes = [Process("fast", value, value != 8) for value in values]
    found = node.samples()
    for mode in MODES:
        expected = twin(mode, processes)
        shown = {
            tuple(
                (name, str([one.pid for one in emitters].index(int(value))))
                if name == "pid"
                else (name, value)
                for name, value in labels
            ): value
            for labels, value in found.of(f"busy_{mode}").items()
        }
        assert shown == expected, mode
    for emitter in emitters[1:]:
        emitter.go()
        emitter.end()


def test_a_dead_process_poisons_nothing_that_others_say(node: Node) -> None:
    """Check all that a process can leave, across restarts. Values that are not kept count once."""
    node.start()
    code = """
    for mode in ("sum", "min", "max", "mostrecent", "all"):
        gauge = shmetrics.Gauge(f"temp_{mode}", "Temperature", multiprocess_mode=mode)
        gauge.set(float(os.environ["VALUE"]))
    """
    for value in ("nan", "5", "inf", "6", "-inf", "1.7e308", "1.7e308"):
        node.run(code, VALUE=value)
        node.until_no_lane()
        if value == "6":
            node.stop()
            node.start()
            found = node.samples()
            assert [found.value(f"temp_{mode}") for mode in ("sum", "min", "max")] == [11, 5, 6]
            assert found.value("temp_mostrecent") == 6
    found = node.samples()
    assert found.value("temp_sum") == sys.float_info.max
    assert (found.value("temp_min"), found.value("temp_max")) == (5, 1.7e308)
    assert found.value("temp_mostrecent") == 1.7e308
    assert len(found.of("temp_all")) == 7  # each is its own process's, and may say anything
    assert found.value("shmetrics_dropped_total", cause="bad_value") == 9


@pytest.mark.parametrize("first", ["nan", "1.0"])
def test_a_living_process_may_say_that_it_has_no_number(node: Node, first: str) -> None:
    """Check that a sum with it is no number; minimum and maximum are those of the numbers."""
    node.start()
    code = """
    for mode in ("sum", "livesum", "livemin", "livemax"):
        gauge = shmetrics.Gauge(f"temp_{mode}", "Temperature", multiprocess_mode=mode)
        gauge.set(float(os.environ["VALUE"]))
    pause("set")
    """
    second = "1.0" if first == "nan" else "nan"
    emitters = {value: node.emitter(code, VALUE=value) for value in (first, second)}
    for emitter in emitters.values():
        emitter.until("set")
    found = node.samples()
    assert math.isnan(found.value("temp_sum"))
    assert math.isnan(found.value("temp_livesum"))
    assert (found.value("temp_livemin"), found.value("temp_livemax")) == (1, 1)
    emitters["nan"].kill()
    node.until_lanes(1)
    found = node.samples()
    assert (found.value("temp_sum"), found.value("temp_livesum")) == (1, 1)
