# SPDX-License-Identifier: Apache-2.0
"""Gauges of many processes: each multiprocess_mode, for the living and the dead."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmetrics import _ring
from shmetrics.collector.definitions import GAUGE_MODES, Refusal
from shmetrics.collector.families import Families
from shmetrics.collector.family import Family
from shmetrics.collector.gauges import Gauges, GaugeValue
from shmetrics.dictionary import Definition
from tests.collector.node import Node
from tests.collector.opened import opened
from tests.collector.samples import Labels

MODES = sorted(GAUGE_MODES)


class Process(NamedTuple):
    """One process's gauge of one label value."""

    queue: str
    value: float
    is_alive: bool


def twin(mode: str, processes: list[Process]) -> dict[Labels, float]:
    """What is shown, by the definition of the modes. A process's place is its pid and its time."""
    found: dict[Labels, list[float]] = {}
    for pid, process in enumerate(processes):
        if process.is_alive or not mode.startswith("live"):
            labels: Labels = (("queue", process.queue),)
            if mode.endswith("all"):
                labels = (("pid", str(pid)), *labels)
            found.setdefault(labels, []).append(process.value)
    combine: dict[str, Callable[[list[float]], float]] = {
        "all": max,
        "sum": sum,
        "min": min,
        "max": max,
        "mostrecent": lambda all_: all_[-1],
    }
    return {key: combine[mode.removeprefix("live")](values) for key, values in found.items()}


def test_there_are_ten_modes() -> None:
    assert len(MODES) == 10


process = st.builds(
    Process,
    st.sampled_from(["fast", "slow"]),
    st.integers(-64, 64).map(lambda n: n / 8),
    st.booleans(),
)


def define(families: Families, mode: str, *labels: str) -> tuple[Gauges, Family]:
    gauges = Gauges(families)
    family = gauges.define(Definition(_ring.TYPE_GAUGE, "busy", "Busy", "", mode, labels, ()))
    assert isinstance(family, Family)
    return gauges, family


def adder(families: Families) -> Callable[[GaugeValue, int], None]:
    """What a lane does for the mode sum, for gauges that are in none."""
    cells = families.store.cells.view(np.float64)

    def add(found: GaugeValue, cell: int) -> None:
        cells[cell] += found.value

    return add


def values_of(family: Family, processes: list[Process], *, are_alive: bool) -> list[GaugeValue]:
    return [
        GaugeValue(family, (one.queue,), pid, one.value, pid + 1)
        for pid, one in enumerate(processes)
        if one.is_alive is are_alive
    ]


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=40, deadline=None)
@given(processes=st.lists(process, max_size=8), random=st.randoms(use_true_random=False))
def test_a_mode_shows_what_its_definition_says(
    mode: str, processes: list[Process], random: Random
) -> None:
    """Whoever dies first, and with a restart of the collector after that."""
    with tempfile.TemporaryDirectory(prefix="shm-gauges-") as folder:
        path = Path(folder) / "store"
        with opened(path) as families:
            gauges, family = define(families, mode, "queue")
            dead = values_of(family, processes, are_alive=False)
            random.shuffle(dead)
            assert gauges.retire(dead, adder(families)) == 0
            del gauges, family, dead
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
    assert found == twin(mode, processes)


def test_a_pid_that_comes_again_is_the_later_process(tmp_path: Path) -> None:
    with opened(tmp_path / "store") as families:
        gauges, family = define(families, "all")
        gauges.retire([GaugeValue(family, (), 7, 1.0, 0)], adder(families))
        gauges.retire([GaugeValue(family, (), 7, 2.0, 0)], adder(families))
        assert gauges.collect(family, []) == {("7",): 2.0}
        assert gauges.collect(family, [GaugeValue(family, (), 7, 3.0, 0)]) == {("7",): 3.0}
        del gauges, family


def test_the_label_pid_is_the_collectors(tmp_path: Path) -> None:
    with opened(tmp_path / "store") as families:
        definition = Definition(_ring.TYPE_GAUGE, "busy", "Busy", "", "all", ("pid",), ())
        refusal = Gauges(families).define(definition)
        assert isinstance(refusal, Refusal)
        assert refusal == ("bad_label_name", "busy: label pid is the collector's")
        assert isinstance(Gauges(families).define(definition._replace(mode="sum")), Family)


def test_processes_that_come_and_go(node: Node) -> None:
    """The first one dies, by itself; of the others, the one that wrote first has the higher pid."""
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
