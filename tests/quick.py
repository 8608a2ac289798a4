# SPDX-License-Identifier: Apache-2.0
"""The marker `quick`: on tests that start no process, all but those that are marked `slow`.

A test gets it by itself, if neither the test nor any of its fixtures reaches, by the names in its
code, a module or a function that starts processes. A test with the marker that starts one all the
same fails, whichever command runs it.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]
FOLDERS: Final = (ROOT / "tests", ROOT / "benchmarks")  # whose code is followed
STARTERS: Final = frozenset({"subprocess", "multiprocessing", "cffi", "playwright", "pty"})
CALLS: Final = frozenset({"fork", "forkpty", "posix_spawn", "posix_spawnp", "system"})  # of os
WRAPPING: Final = ("__func__", "fget", "func", "inner_test")  # of methods, properties, hypothesis
EVENTS: Final = frozenset(
    {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "os.exec"}
)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "quick: starts no process (set by itself)")
    config.addinivalue_line("markers", "slow: takes seconds, and is not among the quick")


@pytest.hookimpl(tryfirst=True)  # before -m looks at the markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        is_slow = item.get_closest_marker("slow") is not None
        if isinstance(item, pytest.Function) and not is_slow and not starts_processes(item):
            item.add_marker("quick")


def starts_processes(item: pytest.Function) -> bool:
    """Tell whether the code of a test or of its fixtures leads to a process."""
    fixtures = item._fixtureinfo.name2fixturedefs.values()
    functions = [item.function, *(fixture.func for defined in fixtures for fixture in defined)]
    return any(_leads_to_a_process(function) for function in functions)


@functools.cache
def _leads_to_a_process(start: Any) -> bool:
    """Follow the names in its code, and in that of all of ours that they stand for."""
    seen = set()
    waiting = {start}
    while waiting:
        thing = waiting.pop()
        seen.add(thing)
        starts, named = _step(thing)
        if starts:
            return True
        waiting |= named - seen
    return False


@functools.cache
def _step(thing: Any) -> tuple[bool, set[Any]]:
    """Tell whether its own code starts a process, and which code of ours it names."""
    named: list[Any] = []
    for function in _functions(thing):
        used = set(_names(function.__code__))
        if used & STARTERS or ("os" in used and used & CALLS):
            return True, set()
        named += _visible(function, used)
    if any(_module_of(each).partition(".")[0] in STARTERS for each in named):
        return True, set()
    ours = [each for each in named if _is_ours(each) and not isinstance(each, ModuleType)]
    return False, {e if isinstance(e, (FunctionType, type)) else type(e) for e in ours}


def _functions(thing: FunctionType | type) -> Iterator[FunctionType]:
    """Yield a function and what it wraps, or all methods of a class."""
    if isinstance(thing, FunctionType):
        yield thing
        parts = list(vars(thing).values())
    else:
        classes = [kind for kind in thing.__mro__ if _is_ours(kind)]
        parts = [each for kind in classes for each in vars(kind).values()]
    for part in parts:
        for each in (part, *(getattr(part, name, None) for name in WRAPPING)):
            if isinstance(each, FunctionType):
                yield each


def _names(code: CodeType) -> Iterator[str]:
    """Yield the names of variables, attributes and modules in code and in what it defines."""
    yield from code.co_names
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _names(each)


def _visible(function: FunctionType, used: set[str]) -> Iterator[Any]:
    """Yield what a function is closed over, and what the names that it uses stand for."""
    if function.__closure__:
        yield from inspect.getclosurevars(function).nonlocals.values()
    known = sys.modules | function.__globals__  # what is imported, if only in the function
    for name in used & known.keys():
        found = known[name]
        yield found
        if isinstance(found, ModuleType) and _is_ours(found):
            yield from (vars(found)[name] for name in used & vars(found).keys())
        elif isinstance(found, dict):
            yield from found.values()


def _module_of(thing: Any) -> str:
    if isinstance(thing, ModuleType):
        return thing.__name__
    return str(getattr(thing, "__module__", ""))


def _is_ours(thing: Any) -> bool:
    return _is_one_of_ours(_module_of(thing))


@functools.cache
def _is_one_of_ours(module: str) -> bool:
    file = getattr(sys.modules.get(module), "__file__", None)
    return file is not None and any(Path(file).is_relative_to(folder) for folder in FOLDERS)


class _Guard:
    """A guard that lets no process begin while a quick test runs, and remembers the attempts."""

    def __init__(self) -> None:
        self.test = ""
        self.started: list[str] = []
        sys.addaudithook(self._hear)  # for ever: a hook cannot be taken away

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.test and event in EVENTS:
            self.started.append(f"{event}{arguments[:2]}")
            raise RuntimeError(f"{self.test} is marked quick and starts a process")


_guard = functools.cache(_Guard)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    guard = _guard()
    guard.test = item.nodeid if item.get_closest_marker("quick") else ""
    guard.started.clear()
    try:
        return (yield)
    finally:
        guard.test = ""


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Fail a quick test that swallowed what the guard told it."""
    started = _guard().started
    assert not started, f"a quick test started {started}"
