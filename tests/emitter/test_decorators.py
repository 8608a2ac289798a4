# SPDX-License-Identifier: Apache-2.0
"""time(), track_inprogress() and count_exceptions() around every kind of callable.

A coroutine or generator is measured while it runs, and stays what it was; all that a caller can do
with it gives what it gave without a decorator.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import shmetrics
from shmetrics.emitter.decorator import decorated
from tests.emitter.recording import dropped, made, spend
from tests.nodes.loopback import Loopback

# From Python 3.14 on, asyncio's question is deprecated; who asks it is answered as before.
pytestmark = pytest.mark.filterwarnings("ignore:.*iscoroutinefunction.*:DeprecationWarning")


class Block:
    """A block of a series as a decorator sees it, with a log of its own."""

    def __init__(self, enter: Callable[[], Any], leave: Callable[[Any], Any]) -> None:
        self.enter, self.leave = enter, leave

    def __enter__(self) -> None:
        self.enter()

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: object) -> None:
        self.leave(kind)

    def __call__(self, function: Any) -> Any:
        return decorated(function, self)

    def anew(self) -> Block:
        return Block(self.enter, self.leave)


# ---- every kind of callable, around the same work -----------------------------------------------

Work = Callable[[], None]


def idle() -> None: ...


def function_of(work: Work) -> Any:
    def function(value: int = 1, *, more: str = "more") -> str:
        """Docs."""
        work()
        return f"{value} {more}"

    return function


def coroutine_of(work: Work) -> Any:
    async def coroutine(value: int = 1, *, more: str = "more") -> str:
        """Docs."""
        await asyncio.sleep(0)
        work()
        await asyncio.sleep(0)
        return f"{value} {more}"

    return coroutine


def generator_of(work: Work) -> Any:
    def generator(value: int = 1, *, more: str = "more") -> Iterator[str]:
        """Docs."""
        yield str(value)
        work()
        yield more

    return generator


def async_generator_of(work: Work) -> Any:
    async def async_generator(value: int = 1, *, more: str = "more") -> Any:
        """Docs."""
        yield str(value)
        await asyncio.sleep(0)
        work()
        yield more

    return async_generator


def by_types_coroutine(work: Work) -> Any:
    @types.coroutine
    def awaitable(value: int = 1, *, more: str = "more") -> Any:
        yield
        work()
        return f"{value} {more}"

    return awaitable


def called_by(function: Any) -> Any:
    """An object that is called as a method of this function."""
    return type("Called", (), {"__call__": method_of(function)})()


def method_of(function: Any) -> Any:
    """The same with a self, and of the same kind."""
    if inspect.iscoroutinefunction(function):

        async def coroutine(self: Any, value: int = 1, *, more: str = "more") -> Any:
            return await function(value, more=more)

        return coroutine
    if inspect.isgeneratorfunction(function):

        def generator(self: Any, value: int = 1, *, more: str = "more") -> Any:
            yield from function(value, more=more)

        return generator
    if inspect.isasyncgenfunction(function):

        async def async_generator(self: Any, value: int = 1, *, more: str = "more") -> Any:
            async for found in function(value, more=more):
                yield found

        return async_generator
    return lambda self, value=1, *, more="more": function(value, more=more)


def bound(function: Any) -> Any:
    return type("Owner", (), {"method": method_of(function)})().method


def marked(function: Any) -> Any:
    """A function that says to be one of coroutines, as asgiref has it before Python 3.12."""

    def marked(value: int = 1, *, more: str = "more") -> Any:
        return function(value, more=more)

    if hasattr(inspect, "markcoroutinefunction"):
        return inspect.markcoroutinefunction(marked)
    marked._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]
    return marked


def lambda_of(function: Any) -> Any:
    return lambda value=1, *, more="more": function(value, more=more)


def with_more(function: Any) -> Any:
    return functools.partial(functools.partial(function, 1), more="less")


def same(function: Any) -> Any:
    return function


OF = {
    "function": function_of,
    "coroutine": coroutine_of,
    "generator": generator_of,
    "async generator": async_generator_of,
}
FORMS: dict[str, Callable[[Any], Any]] = {
    "itself": same,
    "partial": lambda function: functools.partial(function, more="less"),
    "partial of partial": with_more,
    "bound method": bound,
    "object": called_by,
    "partial of object": lambda function: with_more(called_by(function)),
}
MADE: dict[str, Callable[[Work], Any]] = {
    f"{kind}, {form}": lambda work, of=of, make=make: make(of(work))
    for kind, of in OF.items()
    for form, make in FORMS.items()
} | {
    "lambda": lambda work: lambda_of(function_of(work)),
    "types.coroutine": by_types_coroutine,
    "marked": lambda work: marked(coroutine_of(work)),
    "partial of marked": lambda work: with_more(marked(coroutine_of(work))),
}
each = pytest.mark.parametrize("made_of", MADE.values(), ids=MADE)


def run(function: Any) -> Any:
    """Return what a callable gives in the end."""
    return ended(function())


def ended(begun: Any) -> Any:
    if inspect.isasyncgen(begun):

        async def all_of_it() -> list[Any]:
            return [found async for found in begun]

        return asyncio.run(all_of_it())
    if inspect.isawaitable(begun):

        async def awaited() -> Any:
            return await begun

        return asyncio.run(awaited())
    return list(begun) if inspect.isgenerator(begun) else begun


# ---- right values -----------------------------------------------------------------------------


@each
def test_the_time_of_a_run_is_taken(
    loopback: Loopback, name: str, made_of: Callable[[Work], Any]
) -> None:
    inside: list[float] = []
    around: list[float] = []
    histogram, gauge = made("Histogram", name), shmetrics.Gauge(f"{name}_last", "Seconds")
    function = made_of(lambda: inside.append(spend()))
    expected = run(function)
    inside.clear()
    timed = histogram.time()(gauge.time()(function))
    for n in (1, 2):
        begun = perf_counter()
        assert run(timed) == expected
        around.append(perf_counter() - begun)
        found = loopback.samples()
        assert found.value(f"{name}_count") == n
        assert sum(inside) <= found.value(f"{name}_sum") <= sum(around)
        assert inside[-1] <= found.sum(f"{name}_last") <= around[-1]
    assert dropped() == {}


@each
def test_what_runs_is_in_progress(
    loopback: Loopback, name: str, made_of: Callable[[Work], Any]
) -> None:
    seen: list[float] = []
    gauge = shmetrics.Gauge(name, "Runs", multiprocess_mode="livesum")
    tracked = gauge.track_inprogress()(made_of(lambda: seen.append(loopback.samples().value(name))))
    run(tracked)
    run(tracked)
    assert seen == [1, 1]
    assert loopback.samples().value(name) == 0


@each
def test_an_exception_that_leaves_a_run_is_counted_once(
    loopback: Loopback, name: str, made_of: Callable[[Work], Any]
) -> None:
    def fail() -> None:
        raise KeyError("key")

    counter = made("Counter", name, "of")
    counted = counter.labels("errors").count_exceptions()(made_of(fail))
    counted = counter.labels("others").count_exceptions(OSError)(counted)
    counted = counter.labels("fine").count_exceptions()(made_of(lambda: None)) and counted
    for _ in range(2):
        with pytest.raises(KeyError, match="key"):
            run(counted)
    assert loopback.samples().sum(f"{name}_total") == 2
    assert loopback.samples().value(f"{name}_total", of="errors") == 2


@pytest.mark.parametrize("of", list(OF.values())[1:], ids=list(OF)[1:])
def test_what_is_made_and_never_begins_is_not_measured(of: Callable[[Work], Any]) -> None:
    log: list[str] = []
    begun = Block(lambda: log.append("enter"), lambda kind: log.append("leave"))(of(idle))(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # never awaited: as without a decorator
        del begun
        gc.collect()
    assert log == []


@pytest.mark.parametrize("order", ["above", "below"])
@pytest.mark.parametrize("of", OF.values(), ids=OF)
def test_methods_of_classes_and_static_ones_stay_that(
    loopback: Loopback, name: str, of: Callable[[Work], Any], order: str
) -> None:
    """Tell whether the decorator stands above the other one."""
    log: list[float] = []
    gauge = shmetrics.Gauge(f"{name}_busy", "Runs", multiprocess_mode="livesum")
    block = gauge.track_inprogress()
    function = of(lambda: log.append(loopback.samples().value(f"{name}_busy")))

    def within(kind: Any, function: Any) -> Any:
        return block(kind(function)) if order == "above" else kind(block(function))

    class Owner:
        of_class = within(classmethod, method_of(function))
        static = within(staticmethod, function)
        method = block(method_of(function))

    gauge.set(0)
    expected = run(function)
    for owner in (Owner, Owner()):
        for called in (owner.of_class, owner.static):
            assert run(called) == expected
    assert run(Owner().method) == expected
    assert isinstance(vars(Owner)["of_class"], classmethod)
    assert isinstance(vars(Owner)["static"], staticmethod)
    assert log == [0, 1, 1, 1, 1, 1]
    assert loopback.samples().value(f"{name}_busy") == 0


def test_tasks_at_the_same_time_are_measured_apart(loopback: Loopback, name: str) -> None:
    last = shmetrics.Gauge(f"{name}_last", "Seconds", multiprocess_mode="max")
    gauge = shmetrics.Gauge(f"{name}_busy", "Runs", multiprocess_mode="livesum")
    seen = []
    inside: list[float] = []

    @last.time()
    @gauge.track_inprogress()
    async def wait(end: asyncio.Event) -> None:
        begun = perf_counter()
        await end.wait()
        inside.append(perf_counter() - begun)

    async def main() -> None:
        ends = [asyncio.Event() for _ in range(4)]
        tasks = []
        begun = []
        for end in ends:  # one begins after the other
            begun.append(perf_counter())
            tasks.append(asyncio.create_task(wait(end)))
            await asyncio.sleep(0)
            spend()
        for begun_s, end, task in zip(begun, ends, tasks, strict=True):  # and ends in that order
            seen.append(loopback.samples().value(f"{name}_busy"))
            end.set()
            await task
            around = perf_counter() - begun_s
            assert inside[-1] <= loopback.samples().value(f"{name}_last") <= around

    asyncio.run(main())
    assert seen == [4, 3, 2, 1]
    assert loopback.samples().value(f"{name}_busy") == 0


def test_a_coroutine_may_call_itself(loopback: Loopback, name: str) -> None:
    counter = made("Counter", name)

    @counter.count_exceptions()  # type: ignore[untyped-decorator]
    async def fall(depth: int) -> None:
        if not depth:
            raise KeyError
        await fall(depth - 1)

    with pytest.raises(KeyError):
        asyncio.run(fall(4))
    assert loopback.samples().value(f"{name}_total") == 5


# ---- ends that are no failures ------------------------------------------------------------------


def test_a_cancelled_run_has_not_failed(loopback: Loopback, name: str) -> None:
    """It is no Exception, so only who names it counts it; and it has ended."""
    counter = made("Counter", name, "of")
    gauge = shmetrics.Gauge(f"{name}_busy", "Runs", multiprocess_mode="livesum")
    histogram = made("Histogram", f"{name}_took")

    inside = []

    async def wait() -> None:
        inside.append(spend())
        await asyncio.Event().wait()

    for block in (
        histogram.time(),
        gauge.track_inprogress(),
        counter.labels("cancelled").count_exceptions(asyncio.CancelledError),
        counter.labels("errors").count_exceptions(),
    ):
        wait = block(wait)

    async def main() -> None:
        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    found = loopback.samples()
    assert found.of(f"{name}_total") == {(("of", "cancelled"),): 1, (("of", "errors"),): 0}
    assert found.value(f"{name}_busy") == 0
    assert found.value(f"{name}_took_sum") >= inside[0]
    assert found.value(f"{name}_took_count") == 1


@pytest.mark.parametrize("of", list(OF.values())[1:], ids=list(OF)[1:])
@pytest.mark.parametrize("how", ["closed", "garbage"])
def test_a_run_that_nobody_needs_any_more_has_ended_and_not_failed(
    of: Callable[[Work], Any], how: str
) -> None:
    log: list[Any] = []
    block = Block(lambda: log.append("enter"), lambda kind: log.append(kind))
    begun: Any = block(of(idle))(1)
    if inspect.isasyncgen(begun):
        said(begun.__anext__)
    else:
        begun.send(None)
    assert log == ["enter"]
    if how == "closed":
        said(begun.aclose if inspect.isasyncgen(begun) else begun.close)
    del begun
    gc.collect()
    assert log == ["enter", GeneratorExit]
    assert not issubclass(GeneratorExit, Exception)  # what count_exceptions() counts


def test_the_value_that_a_generator_returns_is_no_failure(loopback: Loopback, name: str) -> None:
    counter = made("Counter", name)

    def generator() -> Any:
        got = yield 1
        return got + 1

    def outer() -> Any:
        return (yield from counter.count_exceptions(BaseException)(generator)())

    begun = outer()
    assert next(begun) == 1
    with pytest.raises(StopIteration) as end:
        begun.send(41)
    assert end.value.value == 42
    assert loopback.samples().sum(f"{name}_total") == 0


# ---- the kind is kept ---------------------------------------------------------------------------

PREDICATES: list[Callable[[Any], bool]] = [
    inspect.iscoroutinefunction,
    asyncio.iscoroutinefunction,
    inspect.isgeneratorfunction,
    inspect.isasyncgenfunction,
]


@pytest.mark.parametrize("of", MADE)
def test_kind_signature_and_name_are_kept(name: str, of: str) -> None:
    function = MADE[of](idle)
    made_so = made("Counter", name).count_exceptions()(function)
    kinds = {predicate for predicate in PREDICATES if predicate(made_so)}
    assert kinds >= {predicate for predicate in PREDICATES if predicate(function)}
    if "async" in of:
        assert kinds == {inspect.isasyncgenfunction}
    elif "generator" in of or "types" in of:
        assert kinds == {inspect.isgeneratorfunction}
    elif "coroutine" in of or "marked" in of:
        assert kinds == {inspect.iscoroutinefunction, asyncio.iscoroutinefunction}
    else:
        assert kinds == set()
    assert made_so.__wrapped__ is function
    assert inspect.signature(made_so) == inspect.signature(function)
    for mark in ("__name__", "__qualname__", "__module__", "__doc__"):
        if hasattr(function, mark):
            assert getattr(made_so, mark) == getattr(function, mark)


@pytest.mark.parametrize(
    "builtin",
    [len, sorted, print, "".join, [].append, int, dict.get],
    ids=lambda builtin: builtin.__qualname__,
)
def test_a_builtin_can_be_decorated(loopback: Loopback, name: str, builtin: Any) -> None:
    timed = made("Histogram", name).time()(builtin)
    taken: tuple[Any, ...] = ({}, 1) if builtin is dict.get else ([],) if builtin is not int else ()
    assert timed(*taken) == builtin(*taken)
    assert timed.__wrapped__ is builtin
    assert loopback.samples().value(f"{name}_count") == 1


class Unready:
    """Every look at it fails."""

    def __call__(self) -> None: ...

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


@pytest.mark.parametrize(
    "thing", [None, 7, "text", property(len), Unready()], ids=lambda thing: type(thing).__name__
)
def test_what_cannot_be_decorated_stays_as_it_is(loopback: Loopback, name: str, thing: Any) -> None:
    assert made("Histogram", name).time()(thing) is thing
    assert dropped() == {"bad_value": 1}


@pytest.mark.parametrize("of", OF.values(), ids=OF)
def test_wrong_labels_leave_a_callable_of_its_kind(
    loopback: Loopback, name: str, of: Callable[[Work], Any]
) -> None:
    function = of(idle)
    decorated = made("Histogram", name, "one").labels().time()(function)
    assert run(decorated) == run(function)
    assert [p(decorated) for p in PREDICATES] == [p(function) for p in PREDICATES]
    assert dropped() == {"bad_labels": 1}


def status_of(application: Any, path: str) -> int:
    said: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        said.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}
    asyncio.run(application(scope, receive, send))
    status: int = said[0]["status"]
    return status


def test_a_decorated_endpoint_answers(loopback: Loopback, name: str) -> None:
    histogram = made("Histogram", name, "of")

    inside = []

    async def endpoint(request: Any) -> PlainTextResponse:
        inside.append(spend())
        return PlainTextResponse("ok")

    def plain(request: Any) -> PlainTextResponse:
        return PlainTextResponse("ok")

    routes = []
    for of, function in {
        "coroutine": endpoint,
        "partial": functools.partial(endpoint),
        "function": plain,
    }.items():
        handler = histogram.labels(of).time()(function)
        routes.append(Route(f"/{of}", handler))
    application = Starlette(routes=routes)
    for route in routes:
        assert status_of(application, route.path) == 200
    found = loopback.samples()
    assert found.value(f"{name}_sum", of="coroutine") >= inside[0]
    assert found.value(f"{name}_sum", of="partial") >= inside[1]
    assert found.value(f"{name}_count", of="function") == 1


# ---- all that can be done with a generator ------------------------------------------------------


class Thrown(Exception):
    pass


# What is done with one: a value sent, an exception thrown, or its end; and how it answers.
SENT = st.tuples(st.just("send"), st.integers(0, 9))
THROWN = st.tuples(
    st.just("throw"), st.sampled_from([Thrown, KeyError, StopIteration, StopAsyncIteration])
)
CLOSED = st.tuples(st.just("close"), st.none())
DONE = st.lists(st.one_of(SENT, THROWN, CLOSED), max_size=8)
ANSWERS = st.lists(st.sampled_from(["yield", "return", "raise", "ignore"]), min_size=8, max_size=8)


def answering(answers: list[str]) -> Any:
    """A generator that does what these say, one after the other; `ignore`: what is thrown in."""

    def generator() -> Any:
        got = None
        for n, answer in enumerate(answers):
            if answer == "return":
                return n
            if answer == "raise":
                raise Thrown(n)
            try:
                got = yield n, got
            except (Thrown, StopIteration, StopAsyncIteration) as error:
                if answer != "ignore":
                    raise
                got = type(error).__name__
        return -1

    return generator


def answering_async(answers: list[str]) -> Any:
    async def generator() -> Any:
        got = None
        for n, answer in enumerate(answers):
            if answer == "return":
                return
            if answer == "raise":
                raise Thrown(n)
            await suspended()
            try:
                got = yield n, got
            except (Thrown, StopIteration, StopAsyncIteration) as error:
                if answer != "ignore":
                    raise
                got = type(error).__name__

    return generator


@types.coroutine
def suspended() -> Any:
    yield "suspended"


def said(step: Callable[[], Any]) -> Any:
    """Return what a step gives or raises, and how often an asynchronous one was suspended."""
    try:
        given = step()
        if not hasattr(given, "send"):
            return given
        n_suspended = 0
        while True:
            try:
                given.send(None)
            except StopIteration as end:
                return n_suspended, end.value
            n_suspended += 1
    except BaseException as error:
        return type(error), str(error), type(error.__cause__)


def transcript(begun: Any, done: list[tuple[str, Any]]) -> list[Any]:
    names = {"send": "asend", "throw": "athrow", "close": "aclose"}
    found = []
    for n, (what, with_) in enumerate([("send", None), *done]):
        method = getattr(begun, names[what] if inspect.isasyncgen(begun) else what)
        taken = () if what == "close" else (with_(n) if what == "throw" else with_,)
        found.append(said(functools.partial(method, *taken)))
    return found


@settings(max_examples=300, deadline=None)
@given(answers=ANSWERS, done=DONE, asynchronous=st.booleans())
def test_a_decorated_generator_says_what_it_says_without(
    answers: list[str], done: list[tuple[str, Any]], asynchronous: bool
) -> None:
    """And is entered once, at its first step, and left once, at its end."""
    log: list[Any] = []
    make = answering_async(answers) if asynchronous else answering(answers)
    made_so = Block(lambda: log.append("enter"), lambda kind: log.append("leave"))(make)
    begun = made_so()
    assert log == []
    assert transcript(begun, done) == transcript(make(), done)
    assert log in (["enter"], ["enter", "leave"])
    has_ended = (begun.ag_frame if asynchronous else begun.gi_frame) is None
    assert has_ended == (len(log) == 2)
    del begun
    assert log == ["enter", "leave"]


def test_an_event_loop_that_ends_closes_what_was_left_and_says_nothing() -> None:
    """It closes all asynchronous generators at once: one, and not the one within as well."""
    log: list[str] = []
    problems: list[Any] = []
    kept = []

    @Block(lambda: log.append("enter"), lambda kind: log.append("leave"))
    async def numbers() -> Any:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            log.append("closed")

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, problem: problems.append(problem)
        )
        for _ in range(20):
            kept.append(numbers())
            await kept[-1].__anext__()

    asyncio.run(main())
    assert problems == []
    assert log.count("closed") == log.count("leave") == 20
    assert sys.get_asyncgen_hooks() == (None, None)


def test_an_asynchronous_generator_that_is_garbage_is_closed_by_its_loop() -> None:
    log: list[str] = []

    @Block(lambda: log.append("enter"), lambda kind: log.append("leave"))
    async def numbers() -> Any:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            log.append("closed")

    async def main() -> None:
        async for _ in numbers():
            break
        gc.collect()
        for _ in range(5):
            await asyncio.sleep(0)
        assert log == ["enter", "closed", "leave"]

    asyncio.run(main())
