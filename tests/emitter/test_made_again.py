# SPDX-License-Identifier: Apache-2.0
"""An instrument made again is the one that is there: one family, one room, one value."""

from __future__ import annotations

import gc
import importlib
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shmetrics
from shmetrics import _ring, rpc
from shmetrics.emitter import definition_budget, family, spans
from tests.emitter.recording import KINDS, dropped, made
from tests.nodes.loopback import Loopback
from tests.nodes.node import Node

ID = "1" * 32
ALL_KINDS = [*KINDS, "Calls"]
MODES = ["all", "liveall", "min", "livemin", "max", "livemax", "sum", "livesum"]
MODES += ["mostrecent", "livemostrecent"]


def defined(loopback: Loopback) -> tuple[int, int]:
    """Return how many families and how many series this process's lane has."""
    loopback.collector.tick()
    lanes = loopback.collector._lanes
    return lanes.most_families(), lanes.most_series()


def record(kind: str, child: Any) -> None:
    if kind == "Calls":
        call = child.start()
        child.end(call, "KeyError")
    else:
        getattr(child, "observe" if kind == "Histogram" else "inc")(1)


SHOWN = {
    "Counter": "{}_total",
    "Gauge": "{}",
    "Histogram": "{}_sum",
    "Calls": "{}_exception_total",
}


@pytest.mark.parametrize("labels", [(), ("one", "two")], ids=["bare", "labelled"])
@pytest.mark.parametrize("kind", ALL_KINDS)
def test_an_instrument_made_a_thousand_times_is_one(
    loopback: Loopback, name: str, kind: str, labels: tuple[str, ...]
) -> None:
    """And nobody holds it in between."""
    record(kind, made(kind, name, *labels).labels(*labels))
    before = defined(loopback)
    for _ in range(999):
        record(kind, made(kind, name, *labels).labels(*labels))
    assert defined(loopback) == before
    assert loopback.samples().sum(SHOWN[kind].format(name)) == 1000
    assert dropped() == {}


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_two_objects_share_their_children(loopback: Loopback, name: str, kind: str) -> None:
    one, other = made(kind, name, "one"), made(kind, name, "one")
    assert one.labels("x") is other.labels(one="x")
    assert one.definition is other.definition


@pytest.mark.parametrize("mode", MODES)
def test_two_objects_of_a_gauge_are_one_gauge(loopback: Loopback, name: str, mode: str) -> None:
    """The last `set` wins, whatever the mode makes of several processes."""
    one, other = (shmetrics.Gauge(name, "Help", multiprocess_mode=mode) for _ in range(2))
    one.set(7)
    other.set(3)
    one.inc()
    assert loopback.samples().sum(name) == 4
    other.set(9)
    assert loopback.samples().sum(name) == 9


def test_the_same_name_in_other_parts_is_the_same_family(loopback: Loopback) -> None:
    one = shmetrics.Counter("one_two_seconds_total", "Whole", unit="seconds")
    other = shmetrics.Counter("two", "In parts", namespace="one", unit="seconds")
    one.inc()
    other.inc()
    assert one.labels() is other.labels()
    assert loopback.samples().value("one_two_seconds_total") == 2


def test_another_help_makes_no_other_family(loopback: Loopback, name: str) -> None:
    """The first one stays, as among processes."""
    for help in ("The first", "The second", "The third"):
        shmetrics.Counter(name, help).inc()
    assert defined(loopback)[0] == 1
    assert shmetrics.Counter(name, "").definition.help == "The first"
    assert loopback.samples().value(f"{name}_total") == 3


DIFFERING: dict[str, Callable[[str], Any]] = {
    "labels": lambda name: shmetrics.Counter(name, "Help", ["one"]),
    "order of labels": lambda name: shmetrics.Counter(name, "Help", ["two", "one"]),
    "unit": lambda name: shmetrics.Counter(f"{name}_bytes", "Help", unit="bytes"),
    "type": lambda name: shmetrics.Gauge(name, "Help", ["one"]),
    "mode": lambda name: shmetrics.Gauge(name, "Help", ["one"], multiprocess_mode="max"),
    "buckets": lambda name: shmetrics.Histogram(name, "Help", ["one"], buckets=(1, 2)),
    "other buckets": lambda name: shmetrics.Histogram(name, "Help", ["one"], buckets=(1, 3)),
    "calls": lambda name: shmetrics.Calls(name, "Help", ["one"], buckets=(1, 3)),
    "no buckets": lambda name: shmetrics.Histogram(name, "Help", ["one"], buckets=()),
    "bounds that are none": lambda name: shmetrics.Histogram(name, "Help", buckets=("a", "b")),
    "NaN": lambda name: shmetrics.Histogram(name, "Help", buckets=(1, float("nan"))),
}


def test_what_differs_is_another_family_and_costs_once(loopback: Loopback, name: str) -> None:
    """Also if shapes take turns, and if no collector takes such a one."""
    before = len(_ring.families)
    for _ in range(100):
        for differing in DIFFERING.values():
            labels = differing(name).definition.label_names
            record(type(differing(name)).__name__, differing(name).labels(*labels))
    assert len(_ring.families) - before == len(DIFFERING)
    assert defined(loopback)[0] == len(DIFFERING)


def test_what_says_nothing_costs_once(loopback: Loopback) -> None:
    class Hostile(str):
        """Neither hashed nor compared."""

        def __hash__(self) -> int:
            raise RuntimeError

        def __eq__(self, other: object) -> bool:
            raise RuntimeError

        def __str__(self) -> str:
            return self

    def make() -> None:
        text: Any = Hostile("no name")
        shmetrics.Calls(text, text, [text])
        shmetrics.Gauge(text, text, [text], unit=text, multiprocess_mode=text)

    make()
    before = len(_ring.families)
    for _ in range(100):
        make()
    assert len(_ring.families) == before


def test_label_sets_have_one_room_whoever_makes_them(
    loopback: Loopback, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(definition_budget, "MAX_DEFINITIONS", 3)
    for n in range(6):
        made("Counter", name, "one").labels(n).inc()
    assert loopback.samples().value(f"{name}_total", one="__overflow__") == 3


def test_classes_of_exceptions_take_room_once(loopback: Loopback, name: str) -> None:
    """Also those of calls that have no room themselves."""
    long = "x" * 100_000
    for _ in range(100):
        record("Calls", made("Calls", name, "one").labels("short"))
        record("Calls", made("Calls", name, "one").labels(long))
    assert made("Calls", name, "one")._family.budget.definitions == 3


def test_families_without_end_take_bounded_memory(
    loopback: Loopback, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is beyond the bound records, as long as there is room in the lane."""
    monkeypatch.setattr(family, "MAX_FAMILIES", len(_ring.families) + 3)
    for n in range(6):
        made("Counter", f"{name}_{n}").inc()
    assert len(_ring.families) == family.MAX_FAMILIES
    found = loopback.samples()
    assert [found.value(f"{name}_{n}_total") for n in range(6)] == [1] * 6


names = st.sampled_from(["a", "b"])
labels = st.sampled_from([(), ("x",), ("y",)])
kinds = st.sampled_from(["Counter", "Gauge"])
whats = st.sampled_from(["inc", "set", "make", "drop"])
STEPS = st.lists(st.tuples(whats, kinds, names, labels, st.integers(0, 9)), max_size=40)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_however_often_it_is_made_it_is_as_if_it_were_made_once(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[Any, ...]]
) -> None:
    """Against a dictionary of numbers: what is kept, dropped and made again does not matter."""
    node = Loopback(tmp_path_factory.mktemp("twin"))
    _ring.process_detach()
    node.attach()
    twin: dict[tuple[str, tuple[str, ...]], float] = {}
    kept: list[Any] = []
    made: set[str] = set()
    for what, kind, of, values, number in steps:
        name = f"twin_{kind.lower()}_{of}_{len(values)}"
        made.add(name)
        more = {"multiprocess_mode": "livesum"} if kind == "Gauge" else {}
        found = getattr(shmetrics, kind)(name, "Help", ["one"][: len(values)], **more)
        key = (name if kind == "Gauge" else f"{name}_total"), values
        if what == "make":
            kept.append(found)
        elif what == "drop":
            kept.clear()
        elif what == "set" and kind == "Gauge":
            found.labels(*values).set(number)
            twin[key] = number
        else:
            found.labels(*values).inc(number)
            twin[key] = twin.get(key, 0) + number
    shown = node.samples()
    assert {
        key: shown.value(key[0], **dict(zip(["one"], key[1], strict=False))) for key in twin
    } == twin
    recorded = {name for name, _ in twin}
    assert len(recorded) <= defined(node)[0] <= len(made)  # the rest is declared when it is new
    _ring.process_detach()
    node.collector.tick()
    node.release()


def test_threads_that_race_make_one(loopback: Loopback, name: str) -> None:
    n_threads, n_names = 8, 50
    before = len(_ring.families)
    gate = threading.Barrier(n_threads)
    children: list[list[Any]] = [[] for _ in range(n_threads)]

    def race(mine: list[Any]) -> None:
        for n in range(n_names):
            gate.wait()
            mine.append(made("Counter", f"{name}_{n}", "one").labels("x"))
            mine[-1].inc()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=race, args=(mine,)) for mine in children]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert all(len(set(same)) == 1 for same in zip(*children, strict=True))
    assert len(_ring.families) - before == n_names
    assert defined(loopback) == (n_names, n_names)
    found = loopback.samples()
    assert [found.value(f"{name}_{n}_total", one="x") for n in range(n_names)] == [8] * n_names


def test_a_thread_that_comes_late_takes_no_room(
    loopback: Loopback, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one makes the same child while this one does."""
    counter = made("Counter", name, "one")
    one = counter._family
    payload = definition_budget.DefinitionBudget.payload

    def slow(self: definition_budget.DefinitionBudget, strings: tuple[str, ...]) -> bytes | None:
        monkeypatch.setattr(definition_budget.DefinitionBudget, "payload", payload)
        counter.labels("x")
        return payload(self, strings)

    monkeypatch.setattr(definition_budget.DefinitionBudget, "payload", slow)
    assert counter.labels("x") is one.children.get(("x",))
    assert (one.budget.definitions, one.budget.n_bytes) == (1, 2 + 2 + 1)


def test_a_module_that_is_loaded_again_goes_on(
    loopback: Loopback, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"module_{name}.py").write_text(
        f"import shmetrics\njobs = shmetrics.Counter('{name}', 'Jobs')\njobs.inc()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module(f"module_{name}")
    before = defined(loopback)
    for _ in range(10):
        module.jobs.inc()
        importlib.reload(module)
    assert loopback.samples().value(f"{name}_total") == 21
    assert defined(loopback) == before


def test_ourselves_loaded_again_go_on(node: Node) -> None:
    """All of the package, as some runners of tests do, or one module of it."""
    node.start()
    service = node.emitter(
        """
        import importlib

        def load():
            global shmetrics, rpc, spans, instruments
            import shmetrics
            from shmetrics import rpc
            from shmetrics.emitter import instruments, spans

        load()
        for generation in range(1, 51):
            shmetrics.Counter("jobs", "Jobs", ["queue"]).labels("fast").inc()
            shmetrics.Gauge("busy", "Busy", multiprocess_mode="livesum").set(generation)
            rpc.client_call(method="build").start()
            spans.Spans("nova").start("rpc", *["1" * 32] * 3)
            if generation % 2:
                for module in (spans, rpc, instruments):
                    importlib.reload(module)
            else:
                for name in [name for name in sys.modules if name.startswith("shmetrics")]:
                    del sys.modules[name]
                load()
        assert shmetrics.status()["dropped"] == {}
        pause(f"{len(instruments._ring.families)} families")
        """
    )
    service.until("5 families")  # the two of RPC calls, and the spans
    found = node.samples()
    assert found.value("jobs_total", queue="fast") == 50
    assert found.value("busy") == 50
    assert found.sum("oslo_messaging_rpc_client_invocation_start_total", method="build") == 50
    service.go()
    service.end()
    node.until_no_lane()


def test_spans_said_through_new_objects_are_of_one_series(loopback: Loopback) -> None:
    said = spans.Spans("nova", "cloud", "h")
    said.start("rpc", ID, ID, ID)
    taken = spans._FAMILY.budget.definitions
    for _ in range(100):
        said = spans.Spans("nova", "cloud", "h")
        said.start("rpc", ID, ID, ID)
        said.stop("rpc", ID, ID, ID)
    assert defined(loopback) == (1, 1)
    assert spans._FAMILY.budget.definitions == taken
    assert spans.Spans("nova", "cloud", "h").new_series("rpc") is said.series["rpc"]
    assert spans.Spans("nova", "cloud", "i").new_series("rpc") is not said.series["rpc"]


def test_calls_of_rpc_are_one_family_however_the_module_is_loaded(loopback: Loopback) -> None:
    one = rpc.client_call(method="build")
    assert importlib.reload(rpc).client_call(method="build") is one


FORKED = """
def record(who):
    gauge = shmetrics.Gauge("busy", "Busy", ["who"], multiprocess_mode="liveall")
    gauge.labels(who).set(0)
    for n in range(1, 301):
        shmetrics.Gauge("busy", "Busy", ["who"], multiprocess_mode="liveall").labels(who).set(n)
        shmetrics.Counter("jobs", "Jobs").inc()
    assert shmetrics.status()["dropped"] == {}, shmetrics.status()

record("parent")
pid = os.fork()
if not pid:
    status = 1
    try:
        record("child")
        grandchild = os.fork()
        if not grandchild:
            record("grandchild")
            os._exit(0)
        assert os.waitpid(grandchild, 0)[1] == 0
        status = 0
    finally:
        os._exit(status)
assert os.waitpid(pid, 0)[1] == 0
record("parent")
pause("recorded")
"""


def test_forked_children_make_what_their_parents_made(node: Node) -> None:
    node.start()
    service = node.emitter(FORKED)
    service.until("recorded")
    found = node.samples()
    assert found.value("jobs_total") == 1200
    assert found.sum("busy", who="parent") == 300
    assert found.sum("shmetrics_refused_families_total") == 0
    service.go()
    service.end()
    node.until_no_lane()


def test_a_poll_may_make_its_instruments_anew(node: Node) -> None:
    """As an exporter does that knows no better; and what is new after that counts."""
    node.start()
    service = node.emitter(
        """
        for poll in range(1, 1001):
            shmetrics.Gauge("connections", "Connections", ["db"]).labels("a").set(poll)
            shmetrics.Counter("polls_total", "Polls").inc()
            shmetrics.Histogram("took_seconds", "Took").observe(1)
            with shmetrics.Calls("query", "Queries", ["db"]).labels("a")():
                pass
        shmetrics.Counter("other_total", "The first event").inc()
        assert shmetrics.status()["dropped"] == {}
        pause("recorded")
        """
    )
    service.until("recorded")
    found = node.samples()
    assert found.sum("connections", db="a") == 1000
    assert found.value("polls_total") == 1000
    assert found.value("took_seconds_count") == 1000
    assert found.value("query_invocation_end_total", db="a") == 1000
    assert found.value("other_total") == 1
    assert found.sum("shmetrics_quota_exceeded_total") == 0
    service.go()
    service.end()
    node.until_no_lane()


def test_what_was_garbage_is_the_same_again(loopback: Loopback, name: str) -> None:
    made("Gauge", name, "one").labels("x").set(3)
    gc.collect()
    made("Gauge", name, "one").labels("x").inc(2)
    assert loopback.samples().sum(name) == 5


# ---- another shape under the same name ----------------------------------------------------------


@pytest.mark.parametrize("first", ALL_KINDS)
def test_no_shape_of_a_name_loses_what_is_recorded_in_it(
    loopback: Loopback, name: str, first: str
) -> None:
    """A lane has a shape only if it records there: what a reload left behind does not."""
    old = made(first, name, "one").labels("a")
    record(first, old)
    new = made(first, name, "one", "two").labels("a", "b")
    record(first, new)
    record(first, old)
    _ring.process_detach()
    loopback.attach()
    record(first, new)
    before = defined(loopback)
    record(first, old)
    assert defined(loopback) > before
    assert dropped() == {}


def test_a_shape_that_comes_back_is_the_same_one(loopback: Loopback, name: str) -> None:
    one = made("Counter", name, "one").labels("a")
    other = made("Counter", name, "one", "two").labels("a", "b")
    assert made("Counter", name, "one").labels("a") is one
    _ring.process_detach()
    loopback.attach()
    one.inc()
    other.inc()
    assert dropped() == {}
    found = loopback.samples()
    assert found.value(name + "_total", one="a") == 1
    assert found.value(name + "_total", one="a", two="b") == 1
