# SPDX-License-Identifier: Apache-2.0
"""remove(), remove_by_labels() and clear(): a child leaves, and the next one is a new one."""

from __future__ import annotations

from typing import Any

import pytest

import shmetrics
from shmetrics import _ring
from tests.emitter.recording import KINDS, dropped, made
from tests.nodes.loopback import Loopback

ALL_KINDS = [*KINDS, "Calls", "ObservedCounter"]


def record(kind: str, child: Any) -> None:
    if kind == "Calls":
        child.end(child.start(), "KeyError")
    elif kind == "ObservedCounter":
        child.set_total(1)
    else:
        getattr(child, "observe" if kind == "Histogram" else "inc")(1)


def values(instrument: Any) -> list[tuple[str, ...]]:
    return sorted(instrument._family.children)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_removed_child_is_made_anew(loopback: Loopback, name: str, kind: str) -> None:
    instrument = made(kind, name, "one", "two")
    child, other = instrument.labels("a", "b"), instrument.labels("a", "c")
    record(kind, child)
    instrument.remove("a", "b")
    assert values(instrument) == [("a", "c")]
    assert instrument.labels("a", "c") is other
    again = instrument.labels(two="b", one="a")
    assert again is not child
    assert instrument.labels("a", "b") is again
    assert dropped() == {}


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_what_a_removed_child_records_is_nowhere_and_no_error(
    loopback: Loopback, name: str, kind: str
) -> None:
    instrument = made(kind, name, "one")
    child = instrument.labels("a")
    instrument.remove("a")
    before = shmetrics.status()
    record(kind, child)
    for method in ("time", "track_inprogress", "count_exceptions"):
        if hasattr(child, method):
            with getattr(child, method)():
                pass
    assert shmetrics.status() == before
    assert dropped() == {}
    assert loopback.samples().names(name) == set()


def test_a_removed_child_stays_removed_in_another_lane(loopback: Loopback, name: str) -> None:
    counter = made("Counter", name, "one")
    child = counter.labels("a")
    child.inc()
    counter.remove("a")
    _ring.process_detach()
    child.inc()
    counter.labels("b").inc()
    assert dropped() == {}


def test_a_call_that_is_open_when_its_series_goes_gives_its_slot_back(
    loopback: Loopback, name: str
) -> None:
    """More of them, one after the other, than a lane lists at a time."""
    calls = made("Calls", name, "one")
    for _ in range(3000):
        child = calls.labels("a")
        call = child.start()
        calls.remove("a")
        child.end(call)
    assert dropped().get("untracked_call", 0) == 0


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_what_has_some_labels_in_common_goes_together(
    loopback: Loopback, name: str, kind: str
) -> None:
    instrument = made(kind, name, "one", "two")
    for one in ("a", "b"):
        for two in ("x", "7"):
            instrument.labels(one, two)
    instrument.remove_by_labels({"two": 7})
    assert values(instrument) == [("a", "x"), ("b", "x")]
    instrument.remove_by_labels({"two": "x", "one": "b"})
    assert values(instrument) == [("a", "x")]
    instrument.remove_by_labels({"one": "nobody"})
    assert values(instrument) == [("a", "x")]
    assert dropped() == {}
    instrument.clear()
    assert values(instrument) == []


def test_what_cannot_be_removed_is_counted(loopback: Loopback, name: str) -> None:
    class Hostile:
        def __str__(self) -> str:
            raise RuntimeError("str")

    hostile: Any = Hostile()
    labelled, bare = made("Counter", name, "one"), made("Counter", f"{name}_bare")
    labelled.labels("a")
    for wrong in ((), ("a", "b"), (hostile,)):
        labelled.remove(*wrong)
    for by_name in ({"too": "a"}, {"one": hostile}, hostile):
        labelled.remove_by_labels(by_name)
    bare.remove()
    assert dropped() == {"bad_labels": 7}
    labelled.remove("nobody")
    bare.clear()
    bare.inc()
    assert values(labelled) == [("a",)]
    assert loopback.samples().value(f"{name}_bare_total") == 1
    assert dropped() == {"bad_labels": 7}


def test_removing_gives_room_to_others(
    loopback: Loopback, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shmetrics.emitter.definition_budget.MAX_DEFINITIONS", 2)
    counter = made("Counter", name, "one")
    for n in range(10):
        counter.labels(f"{n} a")
        counter.labels(f"{n} b")
        counter.remove(f"{n} a")
        counter.remove(f"{n} b")
    assert counter.labels("last") is not counter._family.overflow
