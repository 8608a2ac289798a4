# SPDX-License-Identifier: Apache-2.0
"""Classes whose public methods are traced because the configuration names them.

A class is changed once its module is there: at once, or when the service loads it. Nothing is
loaded for it here. OSProfiler has a decorator for classes, which says what errors say.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from oslo_utils import reflection

from shmetrics.hooks.tracing.failures import failed
from shmetrics.hooks.tracing.notifying import current
from shmetrics.hooks.tracing.patch import Patch
from shmetrics.hooks.tracing.span import NestedSpan

__all__ = ["disable", "enable"]

SOURCE = "classes"

_LOG = logging.getLogger(__name__)

_undo: list[Callable[[], None]] = []


def enable(names: Iterable[str], arguments: bool) -> None:
    """Trace these classes, each ``module:Class``. *arguments*: whether those of calls are kept."""
    if _undo:
        return
    wanted: dict[str, list[str]] = {}
    for name in names:
        module, _, class_ = name.partition(":")
        if module and class_:
            wanted.setdefault(module, []).append(class_)
        else:
            _LOG.warning("[profiler] trace_classes: %s is not module:Class", name)
    _undo.append(lambda: None)  # on, whatever there was to do
    finder = _Finder(wanted, arguments)
    sys.meta_path.insert(0, finder)
    _undo.append(lambda: sys.meta_path.remove(finder))
    for name in wanted:
        if name in sys.modules:
            finder.loaded(sys.modules[name])


def disable() -> None:
    """Put back what was there."""
    while _undo:
        _undo.pop()()


class _Finder:
    """Finds wanted modules where they are found anyway, and traces their classes once they are
    loaded."""

    def __init__(self, wanted: dict[str, list[str]], arguments: bool) -> None:
        self._wanted = wanted
        self._arguments = arguments
        self._asking = threading.local()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in self._wanted or self not in sys.meta_path:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                self._listen(spec)
                return spec
        return None

    def _listen(self, spec: ModuleSpec) -> None:
        loader: Any = spec.loader
        load = getattr(loader, "exec_module", None)
        if load is None or isinstance(loader, type):
            return

        def load_and_trace(module: ModuleType) -> None:
            load(module)
            self.loaded(module)

        loader.exec_module = load_and_trace

    def loaded(self, module: ModuleType) -> None:
        """Trace the classes of a module that are wanted. Never raises."""
        for name in self._wanted[module.__name__]:
            try:
                _undo.append(trace(getattr(module, name), self._arguments))
            except Exception as error:
                _LOG.warning("[profiler] trace_classes: %s:%s: %r", module.__name__, name, error)


def trace(class_: Any, arguments: bool) -> Callable[[], None]:
    """Trace the public methods of a class; what takes it back."""
    if not inspect.isclass(class_):
        raise TypeError(f"{class_!r} is no class")
    patches = [
        Patch(class_, name, _around(class_.__name__, arguments))
        for name, _ in inspect.getmembers(class_, inspect.isfunction)
        if not name.startswith("_")
        and not isinstance(inspect.getattr_static(class_, name), staticmethod)
    ]

    def undo() -> None:
        for patch in patches:
            patch.undo()

    return undo


def _around(name: str, arguments: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return what puts a span of this name around each call of a method, if a trace is active. The
    span of one that is awaited ends once it has been; that of a generator, once it is made: runs of
    generators go on by turns, and OSProfiler's spans nest."""

    def around(method: Callable[..., Any]) -> Callable[..., Any]:
        @contextlib.contextmanager
        def span(active: Any, args: Any, kwargs: Any) -> Iterator[None]:
            about = _about(method, (args, kwargs) if arguments else ())
            begun = NestedSpan(SOURCE, active, name, about, arguments)
            try:
                yield
            except BaseException as error:
                begun.fail_as(error)
                raise
            begun.stop()

        def traced(*args: Any, **kwargs: Any) -> Any:
            active = current() if _undo else None
            if active is None:
                return method(*args, **kwargs)
            with span(active, args, kwargs):
                return method(*args, **kwargs)

        async def traced_async(*args: Any, **kwargs: Any) -> Any:
            active = current() if _undo else None
            if active is None:
                return await method(*args, **kwargs)
            with span(active, args, kwargs):
                return await method(*args, **kwargs)

        return traced_async if inspect.iscoroutinefunction(method) else traced

    return around


def _about(method: Callable[..., Any], arguments: Sequence[object]) -> dict[str, Any]:
    """What is known of a call, as OSProfiler's decorator says it. arguments: args and kwargs, or
    nothing if they are not to be kept."""
    try:
        said = zip(("args", "kwargs"), map(str, arguments), strict=False)
        return {"function": {"name": reflection.get_callable_name(method), **dict(said)}}
    except Exception as error:  # arguments that cannot be written
        failed(SOURCE, error)
        return {}
