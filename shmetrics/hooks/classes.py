# SPDX-License-Identifier: Apache-2.0
"""Classes whose public methods are traced because the configuration names them.

A class is changed once its module is there: at once, or when the service loads it. Nothing is
loaded for it here.
"""

from __future__ import annotations

import inspect
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from osprofiler import profiler

__all__ = ["disable", "enable"]

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
    """Trace the public methods of a class by OSProfiler's decorator; what takes it back."""
    if not inspect.isclass(class_):
        raise TypeError(f"{class_!r} is no class")
    before = dict(vars(class_))
    functions = [member for _, member in inspect.getmembers(class_, inspect.isfunction)]
    traced_times = [getattr(function, "__traced__", None) for function in functions]
    profiler.trace_cls(class_.__name__, hide_args=not arguments)(class_)

    def undo() -> None:
        for name, value in list(vars(class_).items()):
            if value is not before.get(name):
                if name in before:
                    setattr(class_, name, before[name])
                elif hasattr(value, "__wrapped__"):
                    delattr(class_, name)
        for function, times in zip(functions, traced_times, strict=True):
            if times is None:
                function.__dict__.pop("__traced__", None)
            else:
                function.__dict__["__traced__"] = times

    return undo
