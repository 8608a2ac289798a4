# SPDX-License-Identifier: Apache-2.0
"""Classes that the configuration names, traced once they are there."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from osprofiler import profiler

from shmetrics.hooks.tracing import switches
from tests.nodes.node import Node

from .conftest import KEY, TRACED, Configured, configured, names, new_id, spans
from .heard import Heard, compiled, heard

__all__ = ["compiled", "configured", "heard"]

POOL = """
class Base:
    def inherited(self):
        return "inherited"

class Driver(Base):
    '''As Zaqar has them.'''

    def post(self, queue, *, secret=None):
        return self._count() + [queue]

    def fail(self):
        raise LookupError("no queue")

    async def wait(self):
        return self.post("q")

    def each(self):
        yield self.post("q")
        yield 2

    async def each_awaited(self):
        yield self.post("q")
        yield 2

    def _count(self):
        return []
"""
CLASS = "storage_of_a_test.pooling:Driver"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Yield the name of a package that can be imported, and has not been."""
    folder = tmp_path / "storage_of_a_test"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "pooling.py").write_text(POOL)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    importlib.invalidate_caches()
    yield "storage_of_a_test.pooling"
    for name in [name for name in sys.modules if name.startswith("storage_of_a_test")]:
        del sys.modules[name]


def state(class_: type) -> dict[str, tuple[Any, Any]]:
    """Return all members of a class, each with its attributes."""
    return {
        name: (value, dict(getattr(value, "__dict__", {})))
        for name, value in inspect.getmembers(class_)
        if not name.startswith("__")
    } | {"own": (set(vars(class_)), {})}


def function_of(span: dict[str, Any]) -> str:
    name = span["start_info"]["function"]["name"]
    assert isinstance(name, str)
    return name


def test_it_is_off_by_default(configured: Configured, module: str) -> None:
    finders = list(sys.meta_path)
    switches.setup(configured(**TRACED, trace_requests=True))
    assert sys.meta_path == finders


@pytest.mark.parametrize("is_loaded", [False, True])
def test_public_methods_are_traced_whenever_their_module_is_loaded(
    shm: Node, configured: Configured, module: str, is_loaded: bool
) -> None:
    if is_loaded:
        importlib.import_module(module)
    switches.setup(configured(**TRACED, trace_classes=f"{CLASS},{CLASS.replace('Driver', 'None')}"))
    assert (module in sys.modules) == is_loaded
    driver = importlib.import_module(module).Driver()
    assert driver.post("q", secret="s") == ["q"]  # and no trace is active
    base_id = profiler.init(KEY).get_base_id()
    assert driver.post("q", secret="s") == ["q"]
    assert driver.inherited() == "inherited"
    with pytest.raises(LookupError):
        driver.fail()
    profiler.clean()
    post, inherited, failed = spans(shm, base_id)
    assert {post["name"], inherited["name"], failed["name"]} == {"Driver"}
    assert post["start_info"]["function"] == {"name": f"{module}.Driver.post"}
    assert failed["stop_info"]["etype"] == "LookupError"


def test_arguments_are_kept_if_they_are_asked_for(
    shm: Node, configured: Configured, module: str
) -> None:
    switches.setup(configured(**TRACED, trace_classes=CLASS, trace_arguments=True))
    base_id = profiler.init(KEY).get_base_id()
    importlib.import_module(module).Driver().post("q", secret="s")
    profiler.clean()
    assert spans(shm, base_id)[0]["start_info"]["function"]["kwargs"] == "{'secret': 's'}"


def test_a_method_that_is_awaited_has_a_span_of_its_run(
    shm: Node, configured: Configured, module: str
) -> None:
    switches.setup(configured(**TRACED, trace_classes=CLASS))
    driver = importlib.import_module(module).Driver()
    base_id = profiler.init(KEY).get_base_id()
    assert asyncio.run(driver.wait()) == ["q"]
    profiler.clean()
    wait, post = spans(shm, base_id)
    assert function_of(wait) == f"{module}.Driver.wait"
    assert function_of(post) == f"{module}.Driver.post"
    assert post["parent_id"] == wait["trace_id"]


def test_the_span_of_a_generator_is_of_its_making_whatever_is_done_between_its_values(
    shm: Node, configured: Configured, module: str
) -> None:
    """A run does not nest: two that go on by turns would end each other's spans."""
    switches.setup(configured(**TRACED, trace_classes=CLASS))
    driver = importlib.import_module(module).Driver()
    base_id = profiler.init(KEY).get_base_id()

    async def awaited() -> list[Any]:
        return [value async for value in driver.each_awaited()]

    with profiler.Trace("caller"):
        pairs = list(zip(driver.each(), driver.each(), strict=True))
        assert pairs == [(["q"], ["q"]), (2, 2)]
        assert asyncio.run(awaited()) == [["q"], 2]
    profiler.clean()
    caller, *below = spans(shm, base_id)
    methods = ["each", "each", "post", "post", "each_awaited", "post"]
    assert [function_of(span) for span in below] == [f"{module}.Driver.{m}" for m in methods]
    assert {span["parent_id"] for span in below} == {caller["trace_id"]}
    assert all(span["finished"] for span in below)


# ---- beside OSProfiler's decorator --------------------------------------------------------------


def object_of(class_: Any) -> Any:
    """Return an object that its service traces, as Zaqar does with its controllers of pools."""
    return profiler.trace_cls("pooling")(class_())


def class_decorated_later(class_: Any) -> Any:
    return profiler.trace_cls("pooling")(class_)()


@pytest.mark.parametrize("make", [object_of, class_decorated_later])
def test_what_a_service_traces_afterwards_has_its_span_alone(
    configured: Configured,
    heard: Heard,
    module: str,
    caplog: pytest.LogCaptureFixture,
    make: Callable[[Any], Any],
) -> None:
    switches.setup(configured(**TRACED, trace_classes=CLASS))
    driver = make(importlib.import_module(module).Driver)
    for _ in range(2):
        assert driver.post("q") == ["q"]
    assert heard.names() == ["pooling-start", "pooling-stop"] * 2
    (line,) = caplog.messages
    assert f"{CLASS} adds no span" in line


def test_what_a_service_has_traced_before_has_its_span_alone(
    configured: Configured, heard: Heard, module: str, caplog: pytest.LogCaptureFixture
) -> None:
    class_ = importlib.import_module(module).Driver
    class_.post = profiler.trace("pooling")(class_.post)
    switches.setup(configured(**TRACED, trace_classes=CLASS))
    driver = class_()
    assert driver.post("q") == ["q"]
    assert driver.inherited() == "inherited"
    assert heard.names() == ["pooling-start", "pooling-stop", "Driver-start", "Driver-stop"]
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("is_loaded", [False, True])
def test_nothing_stays_after_teardown(
    shm: Node, configured: Configured, module: str, is_loaded: bool
) -> None:
    finders = list(sys.meta_path)
    found = importlib.import_module(module)
    before = state(found.Driver), state(found.Base)
    if not is_loaded:
        del sys.modules[module]
    switches.setup(configured(**TRACED, trace_classes=CLASS))
    switches.teardown()
    assert sys.meta_path == finders
    if is_loaded:
        assert (state(found.Driver), state(found.Base)) == before
    base_id = profiler.init(KEY).get_base_id()
    importlib.import_module(module).Driver().post("q")
    profiler.clean()
    assert spans(shm, base_id) == []


def test_a_class_that_cannot_be_found_is_one_line_and_the_others_are_traced(
    shm: Node, configured: Configured, module: str, caplog: pytest.LogCaptureFixture
) -> None:
    missing = f"{module}:Absent,{module}:POOL,no.such.module:X,nonsense"
    switches.setup(configured(**TRACED, trace_classes=f"{missing},{CLASS}"))
    driver = importlib.import_module(module).Driver()
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("no.such.module")
    base_id = profiler.init(KEY, base_id=new_id()).get_base_id()
    driver.post("q")
    profiler.clean()
    assert names(spans(shm, base_id)) == ["Driver"]
    said = [record.getMessage() for record in caplog.records]
    assert [line.split(": ")[1] for line in said] == [
        "nonsense is not module:Class",
        f"{module}:Absent",
        f"{module}:POOL",
    ]
