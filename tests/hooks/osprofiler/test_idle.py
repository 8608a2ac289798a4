# SPDX-License-Identifier: Apache-2.0
"""A span in a trace that was idle in its thread for long is marked; it may be of other work."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from osprofiler import notifier, profiler
from osprofiler.drivers.base import get_driver

import shmetrics.osprofiler
from shmetrics.hooks.osprofiler import idle
from shmetrics.hooks.osprofiler.values import WantedValues
from tests.nodes.node import Node

KEY = "SECRET_KEY"
BASE, OTHER = ("7a6f1d2c-0000-4000-8000-00000000000" + digit for digit in "12")

TRACES = st.sampled_from("ab")
STEPS = st.lists(
    st.tuples(st.just("start"), TRACES)
    | st.tuples(st.just("stop"), TRACES)
    | st.tuples(st.just("wait"), st.sampled_from([1.0, 4.0, 6.0])),
    max_size=30,
)


@given(STEPS)
def test_the_mark_is_the_time_without_an_open_span(steps: list[tuple[str, Any]]) -> None:
    """The twin keeps all starts and stops since the trace has changed."""
    now = 100.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(idle.time, "monotonic", lambda: now)  # type: ignore[attr-defined]
        known = idle.IdleTime()
        events: list[tuple[str, str, float]] = []
        for what, of in steps:
            if what == "wait":
                now += of
            elif what == "stop":
                known.stop(of)
                if events and events[-1][1] == of and n_open(events) > 0:
                    events.append((what, of, now))
            else:
                if events and events[-1][1] != of:
                    events.clear()
                rests = bool(events) and n_open(events) == 0
                seconds = now - ended(events) if rests else 0.0
                expected = {"a": 1} | ({"idle_seconds": seconds} if seconds > 5 else {})
                assert known.start(of, {"a": 1}) == expected
                events.append(("late" if seconds > 5 else what, of, now))


def n_open(events: list[tuple[str, str, float]]) -> int:
    return sum(-1 if what == "stop" else 1 for what, _, _ in events)


def ended(events: list[tuple[str, str, float]]) -> float:
    """Return the last time before the first late span."""
    kinds = [what for what, _, _ in events]
    return events[kinds.index("late") - 1 if "late" in kinds else -1][2]


def of_a_thread(work: Any) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


@pytest.mark.parametrize("compiled", [False, True])
def test_spans_of_a_thread_that_keeps_its_trace(
    shm: Node, monkeypatch: pytest.MonkeyPatch, compiled: bool
) -> None:
    monkeypatch.setattr(idle, "LONGEST_SECONDS", 0.0)
    assert not compiled or shmetrics.osprofiler.install()
    notifier.set(get_driver("shm://", service="vitrage").notify)
    profiler.init(KEY, base_id=BASE)
    for name in ("first", "late", "later"):
        with profiler.Trace(name), profiler.Trace(f"{name}, within"):
            pass

    def elsewhere() -> None:
        profiler.init(KEY, base_id=BASE)
        with profiler.Trace("elsewhere"):
            pass

    of_a_thread(elsewhere)
    spans = json.loads(shm.get(f"/api/v1/traces/{BASE}"))["spans"]
    marks = {span["name"]: "idle_seconds" in span["start_info"] for span in spans}
    assert marks == {
        "first": False,
        "first, within": False,
        "late": True,
        "late, within": False,
        "later": True,
        "later, within": False,
        "elsewhere": False,
    }
    assert all(span["host"] or span["start_info"]["host"] for span in spans)


@pytest.mark.parametrize("info", [None, "text", 7, ["message"], {}])
def test_an_info_that_is_none_does_not_raise(info: Any) -> None:
    driver: Any = get_driver("shm://")
    driver.wanted = WantedValues()
    ids = dict.fromkeys(("base_id", "trace_id", "parent_id"), BASE)
    for name in ("rpc-start", "rpc-stop"):
        driver.notify({"name": name, **ids, "info": info})


def test_a_trace_that_is_taken_up_takes_the_place_of_one_that_rests(compiled: None) -> None:
    """A service that never forgets a trace would go on with it: init() returned that."""
    left = profiler.init(KEY, base_id=BASE)
    assert profiler.init(KEY) is profiler.init(KEY, base_id=BASE) is left
    with profiler.Trace("open"):
        assert profiler.init(KEY, base_id=OTHER) is left
    now = profiler.init(KEY, base_id=OTHER)
    assert now.get_base_id() == OTHER
    assert profiler.get() is now
