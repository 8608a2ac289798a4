# SPDX-License-Identifier: Apache-2.0
"""A span knows its own end, whatever is started and stopped around it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from osprofiler import notifier, profiler

from shmetrics.hooks.tracing.span import NestedSpan

from .conftest import KEY, new_id


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    yield
    profiler.clean()
    notifier.set(notifier._noop_notifier)


@given(st.lists(st.sampled_from(["begin", "end first", "end last", "start", "stop"]), max_size=40))
def test_what_is_left_open_in_a_span_ends_with_it(steps: list[str]) -> None:
    """begin and end are of our spans, start and stop of the service's. The twin is a list."""
    profiler.clean()
    told: list[str] = []
    notifier.set(lambda info: told.append(f"{info['name']} {info['trace_id']}"))
    active: Any = profiler.init(KEY, base_id=new_id())
    twin: list[NestedSpan | None] = []  # None: one of the service's
    made: list[NestedSpan] = []  # some of which have ended, and are ended again
    for step in steps:
        if step == "begin":
            made.append(NestedSpan("test", active, "ours", {}, quotes=True))
            twin.append(made[-1])
        elif step == "start":
            active.start("theirs")
            twin.append(None)
        elif step == "stop":
            active.stop()
            del twin[-1:]
        elif made:
            span = made[0] if step == "end first" else made[-1]
            span.stop()
            if span in twin:
                del twin[twin.index(span) :]
        assert len(active._name) == len(twin)
    starts = [line.replace("-start", "") for line in told if "-start" in line]
    stops = [line.replace("-stop", "") for line in told if "-stop" in line]
    assert len(stops) == len(set(stops)) == len(starts) - len(twin)
    assert set(stops) <= set(starts)


def test_a_span_that_somebody_else_has_stopped_takes_none_of_those_around_it() -> None:
    active: Any = profiler.init(KEY)
    active.start("around")
    span = NestedSpan("test", active, "ours", {}, quotes=True)
    active.stop()
    span.stop()
    assert list(active._name) == ["around"]


def test_a_notifier_that_raises_is_not_heard_of() -> None:
    def tell(info: dict[str, Any]) -> None:
        raise OSError("no storage")

    active: Any = profiler.init(KEY)
    notifier.set(tell)
    span = NestedSpan("test", active, "ours", {}, quotes=True)
    span.fail_as(ValueError("x"))
    span.stop()


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def test_an_error_that_cannot_be_written_still_ends_the_span() -> None:
    told: list[Any] = []
    notifier.set(told.append)
    active: Any = profiler.init(KEY)
    NestedSpan("test", active, "ours", {}, quotes=True).fail_as(Unspeakable())
    assert [info["name"] for info in told] == ["ours-start", "ours-stop"]
    assert told[1]["info"]["etype"] == "Unspeakable"
