# SPDX-License-Identifier: Apache-2.0
"""labels() finds the child that a dictionary of tuples would: any texts, any order of names."""

from __future__ import annotations

import gc
import itertools
import random
import sys
import threading
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

import shmetrics
from shmetrics import _ring
from tests.emitter.recording import KINDS, dropped, made
from tests.nodes.loopback import Loopback

# Few of each, so that many are equal; of each width that CPython stores, and what is no text.
TEXTS = st.one_of(
    st.sampled_from(["", "a", "b", "ab", "\xe9", "\u0431", "\U0001f40d", "\udcff", "a\0b"]),
    st.text(max_size=3),
)
VALUES = st.one_of(TEXTS, st.none(), st.booleans(), st.integers(0, 3), st.floats(0, 2))


class Text(str):
    """A text that says something else."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"<{str.__str__(self)}>"


def fresh(text: str) -> str:
    """An equal text that is another object, if there can be one."""
    return "".join([text, "-"])[:-1]


class Table(RuleBasedStateMachine):
    """The compiled table beside a dictionary."""

    kept = Bundle("kept")

    def __init__(self) -> None:
        super().__init__()
        self.table: _ring.Children[object] = _ring.Children()
        self.twin: dict[tuple[str, ...], object] = {}
        self.ruled: dict[tuple[str, ...], object] = {}

    @rule(target=kept, values=st.lists(TEXTS, max_size=3).map(tuple))
    def put(self, values: tuple[str, ...]) -> tuple[str, ...]:
        child = object()
        assert self.table.setdefault(values, child) is self.twin.setdefault(values, child)
        return values

    @rule(n=st.integers(1, 200), prefix=TEXTS)
    def put_many(self, n: int, prefix: str) -> None:
        for i in range(n):
            self.put((prefix, str(i)))

    @rule(values=st.one_of(kept, st.lists(TEXTS, max_size=3).map(tuple)))
    def get(self, values: tuple[str, ...]) -> None:
        wanted = self.twin.get(values, self.ruled.get(values))
        assert self.table.get(values) is wanted
        assert self.table.get(tuple(map(fresh, values))) is wanted

    @rule(values=st.one_of(consumes(kept), st.lists(TEXTS, max_size=3).map(tuple)))
    def pop(self, values: tuple[str, ...]) -> None:
        found = self.twin.pop(values, None)
        assert self.table.pop(tuple(map(fresh, values))) is found
        if found is not None:
            self.ruled.clear()

    @rule(data=st.data())
    def pop_half(self, data: st.DataObject) -> None:
        keys = sorted(self.twin)
        data.draw(st.randoms(use_true_random=False)).shuffle(keys)
        for values in keys[::2]:
            assert self.table.pop(values) is self.twin.pop(values)
            self.ruled.clear()

    @rule(values=st.lists(TEXTS, max_size=3).map(tuple))
    def put_ruled(self, values: tuple[str, ...]) -> None:
        child = object()
        self.table.put_ruled(values, child, _ring.rules_number())
        self.ruled.setdefault(values, child)

    @rule(values=st.lists(TEXTS, max_size=3).map(tuple))
    def put_what_earlier_rules_made(self, values: tuple[str, ...]) -> None:
        self.table.put_ruled(values, object(), _ring.rules_number() - 1)

    @rule()
    def other_rules(self) -> None:
        _ring.rules_changed()
        self.ruled.clear()

    @invariant()
    def the_same(self) -> None:
        assert len(self.table) == len(self.twin)
        assert sorted(self.table) == sorted(self.twin)
        for values, child in self.twin.items():
            assert self.table.get(values) is child


TestTable = Table.TestCase
TestTable.settings = settings(deadline=None, stateful_step_count=30)


@pytest.mark.parametrize("values", [("a", 1), (Text("a"),), (None,)], ids=str)
def test_a_table_is_of_texts(values: Any) -> None:
    table: _ring.Children[object] = _ring.Children()
    assert table.get(values) is None
    assert table.pop(values) is None
    with pytest.raises(TypeError):
        table.setdefault(values, object())
    table.put_ruled(("a",), object(), _ring.rules_number())
    assert table.get(values) is None


def colliding(n: int, bits: int) -> list[str]:
    """Texts whose hashes have their lowest bits in common, in this process."""
    found: dict[int, list[str]] = {}
    for i in itertools.count():
        same = found.setdefault(hash(str(i)) & ((1 << bits) - 1), [])
        same.append(str(i))
        if len(same) == n:
            return same
    raise AssertionError


def test_texts_that_collide_are_told_apart() -> None:
    table: _ring.Children[str] = _ring.Children()
    texts = colliding(20, 10)
    for values in itertools.permutations(texts[:5]):
        assert table.setdefault(values, "".join(values)) == "".join(values)
    for text in texts:
        assert table.setdefault((text,), text) is text
    for values in itertools.permutations(texts[:5]):
        assert table.get(values) == "".join(values)
    random.Random(1).shuffle(texts)
    while texts:
        assert table.pop((texts.pop(),)) is not None
        assert all(table.get((text,)) is text for text in texts)


@settings(deadline=None)
@given(rows=st.lists(st.tuples(VALUES, VALUES, VALUES), max_size=20), data=st.data())
def test_labels_finds_what_a_dictionary_finds(rows: list[tuple[Any, ...]], data: Any) -> None:
    """However its values are given: by position, by name in any order, and of any type."""
    counter: Any = made("Counter", "twin_of_labels", "one", "two", "three")
    twin: dict[tuple[str, ...], Any] = {}
    for row in rows:
        by_name = dict(zip(data.draw(st.permutations(["one", "two", "three"])), row, strict=True))
        values = tuple(by_name[name] for name in ("one", "two", "three"))
        child = twin.setdefault(tuple(map(str, values)), counter.labels(*values))
        assert counter.labels(**by_name) is child
        assert counter.labels(*map(str, values)) is child
        assert counter.labels(**{fresh(name): value for name, value in by_name.items()}) is child
    assert len(set(map(id, twin.values()))) == len(twin)


def test_a_class_of_texts_is_what_it_says(loopback: Loopback, name: str) -> None:
    counter = made("Counter", name, "one")
    assert counter.labels(Text("a")) is counter.labels("<a>") is not counter.labels("a")


def test_a_name_twice_or_another_is_wrong(loopback: Loopback, name: str) -> None:
    counter = made("Counter", name, "one", "two")
    counter.labels(one="a", two="b").inc()
    for wrong in ({"one": "a"}, {"one": "a", "too": "b"}, {"one": "a", "two": "b", "three": "c"}):
        counter.labels(**wrong).inc()
    counter.labels("a", two="b").inc()
    assert dropped() == {"bad_labels": 4}
    assert loopback.samples().sum(f"{name}_total") == 1


def test_more_labels_than_are_ordered_in_place(loopback: Loopback, name: str) -> None:
    names = [f"label{n}" for n in range(40)]
    counter = made("Counter", name, *names)
    by_name = {each: each.upper() for each in reversed(names)}
    assert counter.labels(**by_name) is counter.labels(*map(str.upper, names))


@pytest.mark.parametrize("kind", [*KINDS, "Calls"])
def test_an_instrument_whose_class_forgot_to_make_it_records_nothing(kind: str) -> None:
    class Forgetful(getattr(shmetrics, kind)):  # type: ignore[misc]
        def __init__(self) -> None: ...

    forgetful = Forgetful()
    forgetful.labels()
    forgetful.labels("a")
    forgetful.labels(one="a")


def test_labels_of_something_else_is_an_error() -> None:
    with pytest.raises(TypeError):
        shmetrics.Counter.labels(7, "a")  # type: ignore[arg-type]


def test_threads_find_the_same_children(loopback: Loopback, name: str) -> None:
    """While others make and remove theirs, and the table grows and shrinks under them."""
    counter = made("Counter", name, "one", "two")
    kept = {(str(n), "x"): counter.labels(n, "x") for n in range(50)}
    wrong: list[object] = []
    gate = threading.Barrier(6)

    def find(_: int) -> None:
        gate.wait()
        for (one, two), child in [*kept.items()] * 40:
            if not counter.labels(one, two) is counter.labels(two=two, one=one) is child:
                wrong.append(one)

    def churn(who: int) -> None:
        gate.wait()
        for again in range(10):
            texts = [f"{who} {again} {n}" for n in range(100)]
            for text in texts:
                counter.labels(text, "y").inc()
            for text in texts:
                counter.remove(text, "y")

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [
            threading.Thread(target=work, args=(who,)) for work in (find, churn) for who in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []
    assert sorted(counter._family.children) == sorted(kept)


def test_families_share_label_values_that_are_made_in_a_row(loopback: Loopback, name: str) -> None:
    """A node has hundreds of units, each with the same labels in some thirty families."""
    one, other = (made("Gauge", f"{name}_{number}", "a", "b") for number in range(2))
    for gauge in (one, other):
        gauge.labels(fresh("x"), fresh("y")).set(1)
    [of_one], [of_other] = one._family.children, other._family.children
    assert of_one is of_other
    assert of_one == ("x", "y")


def test_making_and_removing_children_takes_no_memory(loopback: Loopback, name: str) -> None:
    counter, calls = made("Counter", name, "one"), made("Calls", f"{name}_rpc", "one")

    def cycle(n: int) -> None:
        counter.labels(f"label {n}")
        counter.remove(f"label {n}")
        child = calls.labels(f"label {n}")
        child.end(child.start(), f"Error{n}")
        calls.clear()

    for n in range(200):
        cycle(n)
    gc.collect()
    tracemalloc.start()
    try:
        for n in range(2000):
            cycle(n)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert grown < 20_000
    assert calls._family.budget.definitions == counter._family.budget.definitions == 0
    assert calls._family.budget.n_bytes == counter._family.budget.n_bytes == 0


def test_a_family_that_nobody_holds_is_freed_with_its_children(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shmetrics.emitter.family.MAX_FAMILIES", 0)
    tracemalloc.start()
    try:
        for n in range(50):
            made("Calls", f"{name}_{n}", "one").labels("a")
        before = tracemalloc.get_traced_memory()[0]
        for n in range(50, 250):
            made("Calls", f"{name}_{n}", "one").labels("a")
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 20_000
