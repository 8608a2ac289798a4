# SPDX-License-Identifier: Apache-2.0
"""Counter, Gauge, Histogram: the shape of prometheus_client's classes, and the same numbers."""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
from collections.abc import Callable
from fractions import Fraction
from time import perf_counter
from typing import Any

import numpy as np
import prometheus_client
import pytest

import shmetrics
from tests.emitter.recording import KINDS, dropped, made, spend
from tests.nodes.loopback import Loopback
from tests.nodes.samples import Samples, parse


@pytest.mark.parametrize("kind", KINDS)
def test_constructors_take_what_prometheus_client_takes(kind: str) -> None:
    ours = inspect.signature(getattr(shmetrics, kind)).parameters
    theirs = inspect.signature(getattr(prometheus_client, kind)).parameters
    named = [name for name in theirs if name != "_labelvalues"]
    assert [name for name in ours if name != "_labelvalues"] == named
    for name in named:
        if name not in ("registry", "buckets"):
            assert ours[name].default == theirs[name].default, name


@pytest.mark.parametrize("kind", KINDS)
def test_methods_take_what_those_of_prometheus_client_take(kind: str) -> None:
    theirs = getattr(prometheus_client, kind)
    ours = getattr(shmetrics, kind)
    for name, method in vars(theirs).items():
        if name.startswith("_") or name in ("set_function", "reset", "DEFAULT_BUCKETS"):
            continue
        expected = list(inspect.signature(method).parameters)
        assert list(inspect.signature(getattr(ours, name)).parameters) == expected, name


class Library:
    """Either of the two, to be used alike: its classes, with more arguments by class."""

    def __init__(self, module: Any, **more: dict[str, Any]) -> None:
        for kind in KINDS:
            setattr(self, kind, functools.partial(getattr(module, kind), **more.get(kind, {})))


def by_prometheus(use: Callable[[Any], None]) -> Samples:
    registry = prometheus_client.CollectorRegistry()
    use(Library(prometheus_client, **{kind: {"registry": registry} for kind in KINDS}))
    found = parse(prometheus_client.generate_latest(registry).decode())
    return Samples({key: n for key, n in found.items() if not key[0].endswith("_created")})


def use_labels(library: Any) -> None:
    jobs = library.Counter("labels_jobs_total", "Jobs", ["queue", "kind"])
    jobs.labels("fast", "a").inc()
    jobs.labels(kind="a", queue="fast").inc(2)
    jobs.labels(queue=7, kind=None).inc()
    jobs.labels("\N{SNOWMAN}", 'quo"te\\\n').inc()
    assert jobs.labels("fast", "a") is jobs.labels(kind="a", queue="fast")


def use_names(library: Any) -> None:
    library.Counter("names_total", "Suffixed").inc()
    library.Counter("names_bare", "Bare").inc()
    library.Counter("jobs", "All parts", [], "ns", "sub", "seconds").inc()
    library.Counter("ns_seconds", "The unit is there", unit="seconds").inc()
    library.Gauge("jobs", "No subsystem", namespace="only").inc()
    library.Histogram("size", "Unit", unit="bytes", subsystem="sub", buckets=(1, 2)).observe(1)


def use_counter(library: Any) -> None:
    counter = library.Counter("counter", "Counts")
    counter.inc()
    counter.inc(0.25)
    counter.inc(amount=Fraction(1, 2))
    counter.inc(0)
    counter.inc(True)
    counter.inc(np.float32(0.5))

    def fail(kind: type[Exception]) -> None:
        raise kind

    with counter.count_exceptions(), counter.count_exceptions(KeyError):
        pass
    for kind in (KeyError, ValueError):
        with pytest.raises(kind), counter.count_exceptions(KeyError):
            fail(kind)
        with pytest.raises(kind):
            counter.count_exceptions((ValueError, OSError))(fail)(kind)
    with pytest.raises(KeyError), counter.count_exceptions():
        fail(KeyError)


def use_gauge(library: Any) -> None:
    gauge = library.Gauge("gauge", "Goes", ["way"])
    gauge.labels("set").set(3)
    gauge.labels("set").set(-2.5)
    gauge.labels("up").inc()
    gauge.labels("up").inc(1.5)
    gauge.labels("down").dec()
    gauge.labels("down").dec(amount=0.5)
    gauge.labels("nan").set(math.nan)
    gauge.labels("infinite").set(-math.inf)
    progress = gauge.labels("progress")
    progress.set(5)

    @progress.track_inprogress()  # type: ignore[untyped-decorator]
    def work(n: int) -> int:
        """Docs."""
        return work(n - 1) + 1 if n else 0

    assert (work(3), work.__doc__) == (3, "Docs.")
    with progress.track_inprogress():
        gauge.labels("inside").inc(6)


def use_histogram(library: Any) -> None:
    histogram = library.Histogram("histogram", "Sizes", ["of"], buckets=[0.5, 1, 2.5])
    for value in (0, 0.5, 0.50001, 1, 2.5, 2.6, 1e300, -1):
        histogram.labels("values").observe(value)
    library.Histogram("infinite", "Said aloud", buckets=(1, "2", math.inf)).observe(3)
    library.Histogram("bare", "No labels", buckets=(1,)).observe(amount=0.5)


USES = [use_labels, use_names, use_counter, use_gauge, use_histogram]


@pytest.mark.parametrize("use", USES, ids=lambda use: str(use.__name__))
def test_both_libraries_show_the_same(loopback: Loopback, use: Callable[[Any], None]) -> None:
    expected = by_prometheus(use)
    # Their gauges of a single process have no pid; nor have ours of all processes together.
    use(Library(shmetrics, Gauge={"multiprocess_mode": "sum"}))
    found = {
        key: value
        for key, value in loopback.samples().items()
        if not key[0].startswith(("shmetrics_", "process_", "python_"))
    }
    assert {key: repr(value) for key, value in found.items()} == {
        key: repr(value) for key, value in expected.items()
    }
    assert dropped() == {}


def test_time_takes_the_seconds_of_a_block(loopback: Loopback, name: str) -> None:
    histogram = made("Histogram", name)
    gauge = shmetrics.Gauge(name + "_last", "Seconds", multiprocess_mode="max")
    inside: list[float] = []
    around: list[float] = []

    @histogram.time()  # type: ignore[untyped-decorator]
    def work() -> int:
        inside.append(spend())
        return 7

    def block(timer: Any) -> int:
        with timer:
            inside.append(spend())
        return 7

    def failing_block(timer: Any) -> int:
        with contextlib.suppress(KeyError), timer:
            inside.append(spend())
            raise KeyError
        return 7

    for use in (work, lambda: block(histogram.time()), lambda: failing_block(histogram.time())):
        begun = perf_counter()
        assert use() == 7
        around.append(perf_counter() - begun)
        assert sum(inside) <= loopback.samples().value(f"{name}_sum") <= sum(around)
    assert loopback.samples().value(f"{name}_count") == 3
    for use in (lambda: block(gauge.time()), lambda: failing_block(gauge.time())):
        begun = perf_counter()
        assert use() == 7
        assert inside[-1] <= loopback.samples().value(f"{name}_last") <= perf_counter() - begun


def test_set_to_current_time(loopback: Loopback, name: str) -> None:
    gauge = shmetrics.Gauge(name, "Unix time", multiprocess_mode="max")
    gauge.set_to_current_time()
    assert loopback.samples().value(name) > 1_700_000_000


def test_status_says_how_recording_stands(loopback: Loopback, name: str) -> None:
    counter = made("Counter", name)
    gauge = made("Gauge", name + "_gauge")
    before = shmetrics.status()
    counter.inc()
    counter.inc("no")
    gauge.set(1)
    after = shmetrics.status()
    assert (before["recorded"], after["recorded"]) == (0, 1)
    assert (before["gauge_writes"], after["gauge_writes"]) == (0, 1)
    assert (before["dropped"], after["dropped"]) == ({}, {"bad_value": 1})
    assert after["connected"] is True
    assert after["disabled"] is False
    assert after["lane"] == 1
