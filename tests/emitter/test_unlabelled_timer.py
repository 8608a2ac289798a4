# SPDX-License-Identifier: Apache-2.0
"""Timers that get their label values within the block."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

import shmetrics
from tests.emitter.recording import dropped, spend
from tests.nodes.loopback import Loopback


def test_the_child_that_the_block_names_has_the_seconds(loopback: Loopback, name: str) -> None:
    took = shmetrics.Histogram(name, "Seconds", ["result"])
    with took.time() as timer:
        seconds = spend()
        timer.labels("good")
    with took.time() as timer:
        timer.labels(result="bad")
    found = loopback.samples()
    assert found.value(f"{name}_count", result="good") == 1
    assert found.value(f"{name}_sum", result="good") >= seconds
    assert found.value(f"{name}_count", result="bad") == 1
    assert dropped() == {}


def test_a_gauge_is_set_to_the_seconds(loopback: Loopback, name: str) -> None:
    took = shmetrics.Gauge(name, "Seconds", ["result"], multiprocess_mode="sum")
    with took.time() as timer:
        seconds = spend()
        timer.labels("good")
    assert loopback.samples().value(name, result="good") >= seconds


def test_what_leaves_the_block_as_an_exception_is_measured(loopback: Loopback, name: str) -> None:
    took = shmetrics.Histogram(name, "Seconds", ["result"])
    with contextlib.suppress(KeyError), took.time() as timer:
        timer.labels("bad")
        raise KeyError
    assert loopback.samples().value(f"{name}_count", result="bad") == 1


@pytest.mark.parametrize("values", [(), ("x", "y")], ids=["none", "too many"])
def test_without_right_labels_nothing_is_observed(
    loopback: Loopback, name: str, values: tuple[str, ...]
) -> None:
    took = shmetrics.Histogram(name, "Seconds", ["result"])
    with took.time() as timer:
        if values:
            timer.labels(*values)
    assert loopback.samples().of(f"{name}_count") == {}
    assert dropped() == {"bad_labels": 1}


def test_labels_are_given_once(loopback: Loopback, name: str) -> None:
    took = shmetrics.Histogram(name, "Seconds", ["result"])
    with took.time() as timer:
        timer.labels("first")
        timer.labels("second")
    with took.labels("first").time() as block:
        block.labels("second")
    assert loopback.samples().of(f"{name}_count") == {(("result", "first"),): 2}
    assert dropped() == {"bad_labels": 2}


def test_a_decorated_function_has_no_labels(loopback: Loopback, name: str) -> None:
    took = shmetrics.Histogram(name, "Seconds", ["result"])

    @took.time()
    def function() -> int:
        return 3

    assert function() == 3
    assert dropped() == {"bad_labels": 1}
    assert loopback.samples().of(f"{name}_count") == {}


def test_a_child_takes_no_labels(loopback: Loopback, name: str) -> None:
    child: Any = shmetrics.Counter(name, "Jobs", ["result"]).labels("good")
    child.labels("bad").inc()
    assert dropped() == {"bad_labels": 1}
    child.inc()
    assert loopback.samples().of(f"{name}_total") == {(("result", "good"),): 1}
