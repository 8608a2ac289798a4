# SPDX-License-Identifier: Apache-2.0
"""The compiled profiler: OSProfiler's own tests of its own, and the two side by side."""

from __future__ import annotations

import contextlib
import importlib
import logging
import sys
import unittest
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from osprofiler import notifier, profiler

import shmetrics.osprofiler
from shmetrics.hooks.osprofiler import installation
from tests.hooks.osprofiler.both import Heard, both, numbered
from tests.hooks.osprofiler.process import said_by


@pytest.mark.parametrize("module", ["test_profiler", "test_web", "test_sqlalchemy"])
def test_osprofilers_own_unit_tests(compiled: None, module: str) -> None:
    name = f"osprofiler.tests.unit.{module}"
    sys.modules.pop(name, None)  # what it decorates when it is imported is to be ours
    tests = unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module(name))
    result = unittest.TestResult()
    tests.run(result)
    assert not [*result.errors, *result.failures]
    assert result.testsRun > 5


# ---- side by side -------------------------------------------------------------------------------

NAMES = st.sampled_from(["wsgi", "rpc", "db-1", ""])
INFOS = st.none() | st.dictionaries(
    st.sampled_from(["host", "path", "db"]), st.sampled_from(["", "ü", 7, None])
)
IDS = st.none() | st.sampled_from(["", "1", "7a6f1d2c-0000-4000-8000-000000000000", "7A6F" * 8])
STEPS = st.one_of(
    st.tuples(st.just("start"), NAMES, INFOS),
    st.tuples(st.just("stop"), INFOS),
    st.tuples(st.just("init"), IDS, IDS),
    st.tuples(st.just("clean")),
    st.tuples(st.just("trace"), NAMES, INFOS, st.booleans()),
)


def forget_what_rests(base_id: str | None) -> None:
    """Do for OSProfiler's own profiler what the compiled one does before another trace begins."""
    at = profiler.get()
    if at is None or type(at).__module__ != profiler.__name__:
        return
    if base_id not in (None, "", at.get_base_id()) and len(at._trace_stack) == 2:
        profiler.clean()


def walk(steps: list[tuple[Any, ...]]) -> tuple[Any, list[Any]]:
    """Return the payloads of these steps, and the profiler's place in its trace after each."""
    heard = Heard()
    places: list[dict[str, Any]] = []
    for what, *args in steps:
        if what == "init":
            forget_what_rests(args[0])
            profiler.init("key", *args)
        elif what == "clean":
            profiler.clean()
        elif what == "start":
            profiler.start(args[0], info=args[1] and dict(args[1]))
        elif what == "stop":
            profiler.stop(info=args[0] and dict(args[0]))
        else:
            info = args[1] and dict(args[1])
            with contextlib.suppress(ValueError), profiler.Trace(args[0], info):
                if args[2]:
                    raise ValueError(args[0])
        if at := profiler.get():
            ids = {"base_id": at.get_base_id(), "trace_id": at.get_id()}
            ids |= {"parent_id": at.get_parent_id(), "timestamp": ""}
            places.append({**ids, "what": what, "depth": len(at._trace_stack)})
    return numbered(heard), numbered(places)


@given(st.lists(STEPS, max_size=30))
def test_whatever_is_done_the_same_is_heard(steps: list[tuple[Any, ...]]) -> None:
    theirs, ours = both(lambda: walk(steps))
    assert ours == theirs


class Odd(Exception):
    """An exception that is no builtin, so that its module is in its name."""


def work(a: Any, *, fails: Exception | None = None) -> Any:
    if fails:
        raise fails
    return a


FLAGS = st.fixed_dictionaries({"hide_args": st.booleans(), "hide_result": st.booleans()})
FAILS = st.sampled_from([None, ValueError("no", 1), Odd(), KeyError("k")])


@given(flags=FLAGS, info=INFOS, fails=FAILS, inits=st.booleans())
def test_decorated_functions_say_the_same(
    flags: dict[str, bool], info: dict[str, Any] | None, fails: Exception | None, inits: bool
) -> None:
    def act() -> Any:
        heard = Heard()
        work.__dict__.pop("__traced__", None)  # of another test that has traced it
        traced = profiler.trace("rpc", info=info, **flags)(work)
        if inits:
            profiler.init("key")
        said = []
        for argument in (1, {"x": "ü"}):
            try:
                said.append(traced(argument, fails=fails))
            except Exception as error:
                said.append(error)
        times = work.__dict__.pop("__traced__")
        # To OSProfiler a function's info is one dictionary: only the last call's is still as said.
        return said, times, traced.__name__, len(heard), numbered(heard)[-2:]

    theirs, ours = both(act)
    assert ours == theirs


def test_what_was_said_of_a_call_does_not_change_with_the_next(compiled: None) -> None:
    heard = Heard()
    traced = profiler.trace("rpc")(lambda x: x)
    profiler.init("key")
    traced(1)
    traced(2)
    args = [call["info"]["function"]["args"] for call in heard if call["name"] == "rpc-start"]
    assert args == ["(1,)", "(2,)"]


class Traced(metaclass=profiler.TracedMeta):
    __trace_args__ = {"name": "meta", "hide_args": True}  # noqa: RUF012

    def method(self) -> int:
        return 1


def test_classes_are_traced_whether_decorated_before_or_after(compiled: None) -> None:
    heard = Heard()

    @profiler.trace_cls("cls", hide_args=True)
    class Later:
        def method(self) -> int:
            return 2

    profiler.init("key")
    assert (Traced().method(), Later().method()) == (1, 2)
    names = ["meta-start", "meta-stop", "cls-start", "cls-stop"]
    assert [payload["name"] for payload in heard] == names
    with pytest.raises(ValueError, match="traced"):
        profiler.trace_cls("again", allow_multiple_trace=False)(Later)


def test_a_profiler_that_was_given_a_start_of_its_own_is_asked(compiled: None) -> None:
    class Mine(profiler._Profiler):
        said: list[Any] = []  # noqa: RUF012

        def start(self, name: str, info: dict[str, Any] | None = None) -> None:
            self.said.append((name, info))
            super().start(name, info)

    mine = Mine("key")
    mine.start("a", {"b": 1})
    assert mine.said == [("a", {"b": 1, "host": mine._host})]
    assert list(mine._name) == ["a"]
    altered = profiler.init("key")
    called: list[Any] = []
    altered.start = lambda *args, **kwargs: called.append((args, kwargs))  # type: ignore[method-assign]
    profiler.start("x", info=None)
    assert called == [(("x",), {"info": None})]


REPLACED = """
import ctypes, sys
from unittest import mock

if sys.version_info >= (3, 12):  # where there are so many who may watch dictionaries
    watch = ctypes.PYFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * 4)(lambda *_: 0)
    try:
        while int(sys.argv[1]):
            ctypes.pythonapi.PyDict_AddWatcher(watch)
    except RuntimeError:
        pass
import shmetrics.osprofiler
from osprofiler import notifier, profiler

assert shmetrics.osprofiler.install()
heard = []
profiler.init("key")
for replaced in (
    "profiler.start", "profiler.stop", "notifier.notify", "profiler.uuidutils.generate_uuid",
):
    with profiler.Trace("before"):
        pass
    with mock.patch(f"osprofiler.{replaced}") as replacement:
        with profiler.Trace("meanwhile"):
            pass
        assert replacement.called, replaced
    called = replacement.call_count
    with profiler.Trace("after"):
        notifier.set(heard.append)
    assert replacement.call_count == called and len(heard) == 1, replaced
    notifier.set(notifier._noop_notifier)
    heard.clear()
"""


@pytest.mark.parametrize("is_crowded", [False, True])
def test_what_is_replaced_is_heard_of_at_once(is_crowded: bool) -> None:
    """Check replacements, although the profiler looks only after a change. is_crowded: Python
    has no watcher left for it."""
    said_by(REPLACED, str(int(is_crowded)))


def test_a_block_is_made_and_entered_in_any_way(compiled: None) -> None:
    heard = Heard()
    profiler.init("key")

    class Derived(profiler.Trace):
        def __init__(self, what: str) -> None:
            super().__init__(f"derived {what}", info={"a": 1})

        def __enter__(self) -> None:
            assert super().__enter__() is None
            inner.append(profiler.get())

        def __call__(self) -> str:
            return "called"

    inner: list[Any] = []
    ways = [
        profiler.Trace("a"),
        profiler.Trace("b", {"i": 1}),
        profiler.Trace("c", info={"i": 2}),
        profiler.Trace(info={"i": 3}, name="d"),
        profiler.Trace(name="e"),
        profiler.Trace("f", info=None),
        Derived("g"),
    ]
    for way in ways:
        with contextlib.ExitStack() as stack:
            stack.enter_context(way)
        with way:
            pass
    assert len(inner) == 2
    assert Derived("h")() == "called"
    found = [(one["name"][:-6], one["info"].get("i")) for one in heard[::4]]
    names = ["a", "b", "c", "d", "e", "f", "derived g"]
    assert found == list(zip(names, [None, 1, 2, 3, None, None, None], strict=True))
    assert len(heard) == 4 * len(ways)


@pytest.mark.parametrize("args", [(), ("a", {}, 1)])
@pytest.mark.parametrize("keywords", [{}, {"name": "a", "x": 1}, {"info": {}}])
def test_a_block_that_is_made_wrongly_is_a_type_error(
    compiled: None, args: Any, keywords: Any
) -> None:
    with pytest.raises(TypeError):
        profiler.Trace(*args, **keywords)


def test_a_block_is_no_function(compiled: None) -> None:
    block: Any = profiler.Trace("a")
    with pytest.raises(TypeError, match="not called"):
        block(1)


def test_what_is_put_on_the_stacks_is_on_them(compiled: None) -> None:
    heard = Heard()
    mine = profiler._Profiler("key", base_id="1", parent_id="2")
    mine._trace_stack.append("3")
    mine._name.append("rpc")
    assert (mine.get_parent_id(), mine.get_id()) == ("2", "3")
    mine.stop()
    assert [(one["name"], one["trace_id"]) for one in heard] == [("rpc-stop", "3")]
    mine._trace_stack.append("4")
    assert mine._trace_stack.pop() == "4"
    assert list(mine._trace_stack) == ["1", "2"]
    with pytest.raises(IndexError):
        mine._trace_stack.pop()


def test_a_notifier_that_fails_leaves_no_span_open(compiled: None) -> None:
    def fails(payload: dict[str, Any]) -> None:
        raise OSError("no storage")

    Heard()
    mine = profiler.init("key", "1", "2")
    mine.start("rpc")
    notifier.set(fails)
    with pytest.raises(OSError, match="no storage"):
        mine.stop()
    assert list(mine._trace_stack) == ["1", "2"]


MILLION = 1_000_000

LET_GO = f"""
import sys, threading, warnings
from contextvars import copy_context

warnings.simplefilter("ignore")  # eventlet warns of itself when it is imported
import shmetrics.osprofiler
from osprofiler import profiler
assert shmetrics.osprofiler.install()

def open_spans():
    mine = profiler.init("key")
    for _ in range({MILLION}):
        profiler.start("x")
    return mine

def cleaned():
    open_spans()
    profiler.clean()

def ended_by_its_thread():
    open_spans()

def forgotten_with_its_context():
    copy_context().run(open_spans)

def held_by_the_profiler_alone():
    mine = open_spans()
    profiler.clean()
    del mine

def stopped():
    open_spans()
    for _ in range({MILLION}):
        profiler.stop()

def begun_in_contexts_that_branch_off():
    profiler.init("key")
    kept = []
    for n in range({MILLION}):
        profiler.start("x")
        if n % 10 == 0:
            kept.append(copy_context())
            kept[-1].run(profiler.start, "y")
    del kept[::2]
    assert len(profiler.get()._trace_stack) == {MILLION} + 2, "what others hold stays whole"
    profiler.clean()
    kept.clear()

def beside_the_chain():
    detached = open_spans().detached_span("db", None)
    profiler.clean()
    within = profiler._Profiler("key").detached_span("db", None, within=detached)
    del detached

def on_the_stack():
    mine = profiler.init("key")
    for n in range({MILLION}):
        mine._trace_stack.append("7") if n < 10 else profiler.start("x")
    profiler.clean()

def run():
    globals()[sys.argv[1]]()
    print("let go")

threading.stack_size(256 * 1024)
thread = threading.Thread(target=run)
thread.start()
thread.join()
"""


@pytest.mark.parametrize(
    "way",
    [
        "cleaned",
        "ended_by_its_thread",
        "forgotten_with_its_context",
        "held_by_the_profiler_alone",
        "stopped",
        "begun_in_contexts_that_branch_off",
        "beside_the_chain",
        "on_the_stack",
    ],
)
def test_a_million_open_spans_are_let_go_on_a_small_stack(way: str) -> None:
    """Check each kind of last holder, with a stack that has a quarter of a byte for each span."""
    assert said_by(LET_GO, way) == "let go\n"


# ---- in its place and out of it -----------------------------------------------------------------


def public() -> dict[str, Any]:
    return {name: getattr(profiler, name) for name in installation.NAMES}


def test_all_is_put_back() -> None:
    before = public()
    assert shmetrics.osprofiler.install()
    assert shmetrics.osprofiler.install()
    meanwhile = public()
    assert not set(map(id, before.values())) & set(map(id, meanwhile.values()))
    shmetrics.osprofiler.uninstall()
    shmetrics.osprofiler.uninstall()
    assert public() == before


def test_what_was_decorated_meanwhile_uses_osprofilers_own_afterwards() -> None:
    shmetrics.osprofiler.install()
    block, traced = profiler.Trace("block"), profiler.trace("function")(work)
    shmetrics.osprofiler.uninstall()
    heard = Heard()
    profiler.init("key")
    with block:
        traced(1)
    profiler.clean()
    names = ["block-start", "function-start", "function-stop", "block-stop"]
    assert [payload["name"] for payload in heard] == names


def test_where_it_cannot_be_loaded_osprofiler_is_left_and_it_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = public()
    monkeypatch.setattr(installation, "refusal", "it needs the GIL")
    monkeypatch.setattr(installation, "_has_warned", False)
    with caplog.at_level(logging.WARNING):
        assert not shmetrics.osprofiler.install()
        assert not shmetrics.osprofiler.install()
    assert public() == before
    (said,) = caplog.messages
    assert "it needs the GIL" in said
    assert shmetrics.osprofiler.current_trace() is None
