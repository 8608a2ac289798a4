# SPDX-License-Identifier: Apache-2.0
"""Observed counters: a total that is kept elsewhere is shown as it is, and never falls unsaid."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shmetrics
from shmetrics import _ring
from tests.emitter.recording import dropped
from tests.nodes.loopback import Loopback

BAD_TOTALS = [-1.0, -math.inf, math.inf, math.nan, "7", None]


def test_a_total_is_shown_as_a_counter(loopback: Loopback, name: str) -> None:
    observed = shmetrics.ObservedCounter(f"{name}_total", "Help", ["unit"])
    observed.labels("a").set_total(41.5)
    observed.labels(unit="b").set_total(0)
    samples = loopback.samples(created=True)
    assert samples.value(f"{name}_total", unit="a") == 41.5
    assert samples.value(f"{name}_total", unit="b") == 0
    assert samples.of(f"{name}_created") == {}  # nobody has said since when it counts


def test_one_without_labels_is_its_own_child(loopback: Loopback, name: str) -> None:
    observed = shmetrics.ObservedCounter(name, "Help", namespace="node", unit="seconds")
    observed.set_total(3)
    assert loopback.samples().value(f"node_{name}_seconds_total") == 3
    observed.new_generation()
    assert loopback.samples().value(f"node_{name}_seconds_total") == 0


def test_a_label_set_without_a_total_is_not_shown(loopback: Loopback, name: str) -> None:
    """It would be shown at 0, and its first total would look like an increase."""
    observed = shmetrics.ObservedCounter(name, "Help", ["unit"])
    observed.labels("a").set_total(-1)
    observed.labels("b")
    assert loopback.samples().of(f"{name}_total") == {}


@pytest.mark.parametrize("value", BAD_TOTALS, ids=repr)
def test_a_total_that_cannot_be_is_dropped_and_counted(
    loopback: Loopback, name: str, value: object
) -> None:
    observed = shmetrics.ObservedCounter(name, "Help")
    observed.set_total(7)
    record: list[Callable[[object], None]] = [observed.set_total, observed.new_generation]  # type: ignore[list-item]
    for n, method in enumerate(record, 1):
        method(value)
        assert dropped() == {"bad_value": n}
    samples = loopback.samples(created=True)
    assert samples.value(f"{name}_total") == 7
    assert samples.of(f"{name}_created") == {}


def test_a_total_that_falls_is_dropped_unless_a_generation_begins(
    loopback: Loopback, name: str
) -> None:
    observed = shmetrics.ObservedCounter(name, "Help")
    observed.set_total(7)
    observed.set_total(7)
    observed.set_total(6.5)
    assert loopback.samples().value(f"{name}_total") == 7
    assert dropped() == {"bad_value": 1}
    observed.new_generation(2)
    observed.set_total(6.5)
    assert loopback.samples().value(f"{name}_total") == 6.5
    assert dropped() == {"bad_value": 1}


def test_each_generation_has_a_start_of_its_own(loopback: Loopback, name: str) -> None:
    observed = shmetrics.ObservedCounter(name, "Help")
    starts = []
    for value in (1.0, 2.0, 1.0):
        observed.new_generation(value)
        samples = loopback.samples(created=True)
        assert samples.value(f"{name}_total") == value
        starts.append(samples.value(f"{name}_created"))
        observed.set_total(value + 1)
        assert loopback.samples(created=True).value(f"{name}_created") == starts[-1]
    assert starts == sorted(set(starts))


def test_no_total_is_shown_as_minus_zero(loopback: Loopback, name: str) -> None:
    observed = shmetrics.ObservedCounter(name, "Help")
    observed.set_total(-0.0)
    assert math.copysign(1.0, loopback.samples().value(f"{name}_total")) == 1.0


def test_made_again_it_is_the_same_counter(loopback: Loopback, name: str) -> None:
    for total in (5, 3, 8):
        shmetrics.ObservedCounter(name, "Help", ["unit"]).labels("a").set_total(total)
    assert loopback.samples().value(f"{name}_total", unit="a") == 8
    assert dropped() == {"bad_value": 1}


def test_what_was_set_before_there_was_a_lane_is_shown(loopback: Loopback, name: str) -> None:
    _ring.process_detach()
    observed = shmetrics.ObservedCounter(name, "Help", ["unit"])
    observed.labels("a").set_total(5)
    observed.labels("b").new_generation(6)
    loopback.collector.tick()
    loopback.attach()
    samples = loopback.samples(created=True)
    assert samples.value(f"{name}_total", unit="a") == 5
    assert samples.value(f"{name}_total", unit="b") == 6
    assert set(samples.of(f"{name}_created")) == {(("unit", "b"),)}


def test_another_collector_shows_the_same(loopback: Loopback, name: str) -> None:
    observed = shmetrics.ObservedCounter(name, "Help")
    observed.new_generation(6)
    before = loopback.samples(created=True)
    loopback.restart()
    after = loopback.samples(created=True)
    assert after.value(f"{name}_total") == 6
    assert after.value(f"{name}_created") == pytest.approx(before.value(f"{name}_created"), abs=0.1)


# ---- arrays -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [np.array, lambda values: array("d", values)], ids=["numpy", "array"]
)
def test_an_array_sets_many_with_one_call(
    loopback: Loopback, name: str, make: Callable[[list[float]], object]
) -> None:
    observed = shmetrics.ObservedCounter(name, "Help", ["unit", "kind"])
    together = observed.array((str(unit), "cpu") for unit in range(1000))
    assert len(together) == 1000
    together.set_totals(make([float(n) for n in range(1000)]))  # type: ignore[arg-type]
    found = loopback.samples().of(f"{name}_total")
    assert found == {(("kind", "cpu"), ("unit", str(n))): float(n) for n in range(1000)}
    assert dropped() == {}


def test_nan_leaves_a_total_as_it_is(loopback: Loopback, name: str) -> None:
    observed = shmetrics.ObservedCounter(name, "Help", ["unit"])
    together = observed.array(["first", "second", "third"])
    together.set_totals(array("d", [1, 2, math.nan]))
    together.set_totals(array("d", [math.nan, 5, math.nan]))
    assert loopback.samples().of(f"{name}_total") == {
        (("unit", "first"),): 1.0,
        (("unit", "second"),): 5.0,
    }
    assert dropped() == {}


def test_an_array_begins_generations_one_by_one(loopback: Loopback, name: str) -> None:
    observed = shmetrics.ObservedCounter(name, "Help", ["unit"])
    together = observed.array([("a",), ("b",)])
    together.set_totals(array("d", [5, 5]))
    together.new_generation(1, 2)
    together.set_totals(array("d", [4, 4]))
    assert loopback.samples().of(f"{name}_total") == {(("unit", "a"),): 5, (("unit", "b"),): 4}
    assert dropped() == {"bad_value": 1}


@pytest.mark.parametrize(
    "values",
    [
        array("d", [1]),
        array("d", [1, 2, 3]),
        array("f", [1, 2]),
        np.zeros((2, 2)),
        np.zeros(4)[::2],
        [1.0, 2.0],
        None,
    ],
    ids=["short", "long", "floats", "square", "strided", "list", "none"],
)
def test_a_buffer_that_does_not_fit_sets_nothing(
    loopback: Loopback, name: str, values: object
) -> None:
    observed = shmetrics.ObservedCounter(name, "Help", ["unit"])
    together = observed.array(["a", "b"])
    together.set_totals(values)  # type: ignore[arg-type]
    assert dropped() == {"bad_value": 1}
    assert loopback.samples().of(f"{name}_total") == {}


@pytest.mark.parametrize("index", [-1, 2, 2**70, "0", None], ids=repr)
def test_an_index_that_no_series_has_is_counted(
    loopback: Loopback, name: str, index: object
) -> None:
    together = shmetrics.ObservedCounter(name, "Help", ["unit"]).array(["a", "b"])
    together.new_generation(index)  # type: ignore[arg-type]
    assert dropped() == {"bad_value": 1}


def test_wrong_labels_in_an_array_keep_their_place(loopback: Loopback, name: str) -> None:
    observed = shmetrics.ObservedCounter(name, "Help", ["unit"])
    together = observed.array([("a",), ("b", "too many"), ("c",)])
    assert dropped() == {"bad_labels": 1}
    together.set_totals(array("d", [1, 2, 3]))
    together.new_generation(1)
    assert loopback.samples().of(f"{name}_total") == {(("unit", "a"),): 1, (("unit", "c"),): 3}
    assert dropped() == {"bad_labels": 1}


def test_what_is_no_list_of_labels_is_counted(loopback: Loopback, name: str) -> None:
    observed = shmetrics.ObservedCounter(name, "Help", ["unit"])
    for labelvalues in (None, 7, [7]):
        observed.array(labelvalues)  # type: ignore[arg-type]
    assert dropped() == {"bad_labels": 3}
    observed.array([]).set_totals(array("d"))
    assert dropped() == {"bad_labels": 3}


STEPS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.booleans(),
        st.one_of(st.integers(-2, 9).map(float), st.sampled_from([math.nan, math.inf, 0.5])),
    )
)


@given(steps=STEPS)
def test_totals_follow_a_slow_twin(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, bool, float]]
) -> None:
    """By child and by array, in any order."""
    node = Loopback(tmp_path_factory.mktemp("twin"))
    _ring.process_detach()
    node.attach()
    observed = shmetrics.ObservedCounter("twin_observed", "Help", ["unit"])
    together = observed.array(["0", "1", "2"])
    twin: dict[int, float] = {}
    for unit, begins, value in steps:
        if begins:
            together.new_generation(unit, value)
        elif not math.isnan(value):
            observed.labels(str(unit)).set_total(value)
        values = array("d", [math.nan] * 3)
        values[unit] = value
        together.set_totals(values)
        if 0 <= value < math.inf:
            twin[unit] = value if begins else max(twin.get(unit, 0.0), value)
    found = node.samples().of("twin_observed_total")
    assert found == {(("unit", str(unit)),): total for unit, total in twin.items()}
    _ring.process_detach()
    node.collector.tick()
    node.release()
