# SPDX-License-Identifier: Apache-2.0
"""Wrong labels, bad values, texts too long: counted by cause, and nothing raised into the host."""

from __future__ import annotations

import math
from typing import Any

import pytest

import shmetrics
from shmetrics import _ring
from tests.emitter.recording import KINDS, dropped, made
from tests.nodes.loopback import Loopback


class Hostile:
    """Every conversion fails."""

    def __str__(self) -> str:
        raise RuntimeError("str")

    def __float__(self) -> float:
        raise RuntimeError("float")

    __repr__ = __hash__ = __index__ = __str__  # type: ignore[assignment]


BAD_LABELS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "too few": (("a",), {}),
    "too many": (("a", "b", "c"), {}),
    "none": ((), {}),
    "a name too few": ((), {"one": 1}),
    "a name too many": ((), {"one": 1, "two": 2, "three": 3}),
    "another name": ((), {"one": 1, "too": 2}),
    "both ways": (("a",), {"two": 2}),
    "hostile": (("a", Hostile()), {}),
    "hostile by name": ((), {"one": 1, "two": Hostile()}),
}


@pytest.mark.parametrize("how", BAD_LABELS)
@pytest.mark.parametrize("kind", [*KINDS, "Calls"])
def test_wrong_labels_are_counted_and_do_nothing(
    loopback: Loopback, name: str, kind: str, how: str
) -> None:
    args, kwargs = BAD_LABELS[how]
    child = made(kind, name, "one", "two").labels(*args, **kwargs)
    assert dropped() == {"bad_labels": 1}
    for method, values in (("inc", (1,)), ("dec", ()), ("set", (1,)), ("observe", (1,))):
        getattr(child, method)(*values)
    for method in ("time", "track_inprogress", "count_exceptions", "__call__"):
        with getattr(child, method)():
            pass
        assert getattr(child, method)()(abs)(-3) == 3
    child.set_to_current_time()
    child.end(child.start(), "KeyError")
    assert loopback.samples().names(name) == set()
    assert loopback.samples().value("shmetrics_dropped_total", cause="bad_labels") == 1


class HostileText(str):
    """A text that can be neither hashed nor compared."""

    __slots__ = ()

    def __hash__(self) -> int:
        raise RuntimeError("hash")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("eq")

    def __str__(self) -> str:
        return self


def test_a_label_that_cannot_be_looked_up_is_counted(loopback: Loopback, name: str) -> None:
    made("Counter", name, "one").labels(HostileText("x")).inc()
    assert dropped() == {"bad_labels": 1}


def test_an_exception_that_cannot_be_looked_up_is_counted(loopback: Loopback, name: str) -> None:
    """And the call has ended."""

    class Nameless(type):
        @property
        def __name__(cls) -> str:  # type: ignore[override]
            raise RuntimeError("name")

    class Raised(Exception, metaclass=Nameless):
        pass

    call = made("Calls", name, "one").labels("x")
    call.end(call.start(), HostileText("x"))
    with pytest.raises(Raised), call():
        raise Raised
    assert dropped() == {"bad_labels": 2}
    assert loopback.samples().value(f"{name}_invocation_end_total", one="x") == 2


@pytest.mark.parametrize("exception", ["ValueError", None, (), (ValueError, 7)], ids=str)
def test_a_class_of_exceptions_that_is_none_hides_no_exception(
    loopback: Loopback, name: str, exception: Any
) -> None:
    with pytest.raises(KeyError), made("Counter", name).count_exceptions(exception):
        raise KeyError
    assert dropped() == ({"bad_value": 1} if exception != () else {})


@pytest.mark.parametrize("kind", KINDS)
def test_recording_without_the_labels_is_counted(loopback: Loopback, name: str, kind: str) -> None:
    family = made(kind, name, "one")
    for method in ("inc", "dec", "set", "observe"):
        if hasattr(family, method):
            getattr(family, method)(1)
    assert set(dropped()) == {"bad_labels"}


BAD_VALUES: dict[str, Any] = {
    "a string": "1",
    "nothing": None,
    "hostile": Hostile(),
    "complex": 1j,
    "too large": 10**400,
    "a list": [1],
}


@pytest.mark.parametrize("how", BAD_VALUES)
@pytest.mark.parametrize(("kind", "method"), [
    ("Counter", "inc"), ("Gauge", "inc"), ("Gauge", "dec"), ("Gauge", "set"),
    ("Histogram", "observe"),
])  # fmt: skip
def test_wrong_values_are_counted(
    loopback: Loopback, name: str, kind: str, method: str, how: str
) -> None:
    getattr(made(kind, name), method)(BAD_VALUES[how])
    assert dropped() == {"bad_value": 1}
    assert loopback.samples().value("shmetrics_dropped_total", cause="bad_value") == 1


@pytest.mark.parametrize("value", [-1, -1e-300, math.nan, math.inf, -math.inf])
def test_a_counter_only_goes_up(loopback: Loopback, name: str, value: float) -> None:
    counter = made("Counter", name)
    counter.inc(2)
    counter.inc(value)
    assert loopback.samples().value(f"{name}_total") == 2
    assert dropped() == {"bad_value": 1}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_histogram_takes_finite_values(loopback: Loopback, name: str, value: float) -> None:
    histogram = made("Histogram", name)
    histogram.observe(2)
    histogram.observe(value)
    assert loopback.samples().value(f"{name}_sum") == 2
    assert loopback.samples().value(f"{name}_count") == 1
    assert dropped() == {"bad_value": 1}


def test_a_label_that_is_no_text_is_shown_as_what_it_says(loopback: Loopback, name: str) -> None:
    """Lone surrogates, as in a file name that is not UTF-8, become question marks."""
    made("Counter", name, "path").labels("\udcff/x").inc()
    assert loopback.samples().value(f"{name}_total", path="?/x") == 1


def test_a_definition_too_long_for_an_entry_is_counted(loopback: Loopback, name: str) -> None:
    shmetrics.Counter(name, "x" * 20_000).inc()
    shmetrics.Counter(f"{name}_labelled", "x" * 20_000, ["one"]).labels("a").inc()
    assert dropped() == {"oversized": 2}
    assert loopback.samples().names(name) == set()
    assert loopback.samples().value("shmetrics_dropped_total", cause="oversized") == 2


def test_a_family_for_which_there_is_no_room_waits_for_a_larger_lane(
    loopback: Loopback, name: str
) -> None:
    families = [shmetrics.Counter(f"{name}_{n}", "x" * 10_000) for n in range(20)]
    for family in families:
        family.inc(2)
        family.inc(2)
    assert dropped() == {}
    found = loopback.samples()
    assert 0 < sum(found[sample, ()] for sample in found.names(name)) < 80
    assert _ring.process_status()["waits"]
    loopback.attach(dictionary_bytes=1 << 19)
    found = loopback.samples()
    assert sum(found[sample, ()] for sample in found.names(name)) == 80


def test_a_handler_of_an_interrupt_is_heard(loopback: Loopback, name: str) -> None:
    """What the host itself raised is not ours to keep."""

    class Interrupting:
        def __float__(self) -> float:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made("Counter", name).inc(Interrupting())


def test_a_definition_made_of_nonsense_is_refused_by_the_collector(loopback: Loopback) -> None:
    nonsense: Any = object()
    shmetrics.Histogram("nonsense", "Buckets", buckets=["a", nonsense]).observe(1)
    shmetrics.Counter(nonsense, nonsense, [nonsense]).labels(1).inc()
    shmetrics.Counter("labels_of_nonsense", "Labels", [nonsense]).labels(1).inc()
    shmetrics.Gauge("gauge_of_nonsense", "Mode", multiprocess_mode=nonsense).set(1)
    hostile: Any = Hostile()
    for kind in KINDS:
        made(kind, hostile).labels().inc() if kind == "Counter" else made(kind, hostile)
        getattr(shmetrics, kind)(kind, hostile, hostile, hostile, hostile, hostile)
        getattr(shmetrics, kind)(kind, kind, [hostile, 1], "", "", "")
    shmetrics.Histogram("hostile_buckets", "Buckets", buckets=hostile).observe(1)
    shmetrics.Histogram("huge_buckets", "Buckets", buckets=[10**400]).observe(1)
    shmetrics.Calls(hostile, hostile, hostile, hostile).labels("").start()
    found = loopback.samples()
    for reason in ("bad_buckets", "bad_name", "bad_label_name", "bad_mode"):
        assert found.value("shmetrics_refused_families_total", reason=reason) >= 1
