# SPDX-License-Identifier: Apache-2.0
"""Spans of the public methods of classes that the configuration names.

A class is changed when its module is loaded: at once, or when the service loads it. This module
loads no other. OSProfiler's decorator for classes is not used, because its spans always contain the
messages of errors.

A service may trace a class, or an object, itself by that decorator, before or after ours. Such a
method has one span, the service's own.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import Any, Final

from oslo_utils import reflection

from shmetrics.hooks.tracing.failures import failed
from shmetrics.hooks.tracing.notifying import current
from shmetrics.hooks.tracing.patch import Patch
from shmetrics.hooks.tracing.span import NestedSpan

__all__ = ["disable", "enable"]

SOURCE = "classes"

_LOG = logging.getLogger(__name__)

#: The modules with OSProfiler's decorator, its own and the compiled profiler's, and the name there
#: of the function that it puts around another.
_DECORATORS: Final = frozenset({"osprofiler.profiler", "shmetrics.hooks.osprofiler.decorator"})
_WRAPPER: Final = "wrapper"

_undo: list[Callable[[], None]] = []


def enable(names: Iterable[str], arguments: bool) -> None:
    """Trace classes, now or once their modules are loaded.

    Args:
        names: the classes, each as ``module:Class``.
        arguments: keep the arguments of calls, and the messages of errors.
    """
    if _undo:
        return
    wanted: dict[str, list[str]] = {}
    for name in names:
        module, _, class_ = name.partition(":")
        if module and class_:
            wanted.setdefault(module, []).append(class_)
        else:
            _LOG.warning("[profiler] trace_classes: %s is not module:Class", name)
    _undo.append(lambda: None)  # switched on, even if nothing is to be done
    finder = _Finder(wanted, arguments)
    sys.meta_path.insert(0, finder)
    _undo.append(lambda: sys.meta_path.remove(finder))
    for name in wanted:
        if name in sys.modules:
            finder.loaded(sys.modules[name])


def disable() -> None:
    """Undo what enable() has changed."""
    while _undo:
        _undo.pop()()


class _Finder:
    """A finder of sys.meta_path that traces the wanted classes when their modules are loaded.

    It asks the other finders for the module, and adds a step to the loader that they return.
    """

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
        """Trace the wanted classes of a module that was loaded. Never raises."""
        for name in self._wanted[module.__name__]:
            try:
                _undo.append(trace(getattr(module, name), self._arguments))
            except Exception as error:
                _LOG.warning("[profiler] trace_classes: %s:%s: %r", module.__name__, name, error)


def trace(class_: Any, arguments: bool) -> Callable[[], None]:
    """Trace the public methods of a class, and return the function that undoes it.

    Args:
        class_: the class.
        arguments: keep the arguments of calls, and the messages of errors.

    Raises:
        TypeError: *class_* is not a class.
    """
    if not inspect.isclass(class_):
        raise TypeError(f"{class_!r} is not a class")
    by_service = _TracedByService(class_)
    patches = []
    for name, method in inspect.getmembers(class_, inspect.isfunction):
        if name.startswith("_") or isinstance(inspect.getattr_static(class_, name), staticmethod):
            continue
        if by_service.is_decorated(method.__code__, method.__globals__):
            continue
        patches.append(Patch(class_, name, _around(class_.__name__, arguments, by_service)))

    def undo() -> None:
        for patch in patches:
            patch.undo()

    return undo


class _TracedByService:
    """Knows OSProfiler's decorator around methods of one class, and logs it once."""

    def __init__(self, class_: type) -> None:
        self._name = f"{class_.__module__}:{class_.__qualname__}"
        self._is_logged = False

    def is_decorated(self, code: CodeType, module: Mapping[str, Any]) -> bool:
        """Return whether a function is one that OSProfiler's decorator has made.

        Args:
            code: its code.
            module: the names of its module.
        """
        if code.co_name != _WRAPPER or module.get("__name__") not in _DECORATORS:
            return False
        if not self._is_logged:
            self._is_logged = True
            _LOG.warning(
                "[profiler] trace_classes: %s adds no span to methods that its service traces "
                "itself; take it off the list",
                self._name,
            )
        return True

    def calls_this(self) -> bool:
        """Return whether the caller of the method that asks is such a function."""
        frame = sys._getframe(2)
        return self.is_decorated(frame.f_code, frame.f_globals)


def _around(
    name: str, arguments: bool, by_service: _TracedByService
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator of methods: each call within an active trace is a span of this name.

    The span of a coroutine ends when the coroutine does. The span of a generator ends when the
    generator is made: generators run in turns, and OSProfiler's spans have to nest.
    """

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
            if active is None or by_service.calls_this():
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
    """Return the info of a call, in the form of OSProfiler's decorator.

    Args:
        method: the method.
        arguments: args and kwargs, or nothing if they are not to be kept.
    """
    try:
        said = zip(("args", "kwargs"), map(str, arguments), strict=False)
        return {"function": {"name": reflection.get_callable_name(method), **dict(said)}}
    except Exception as error:  # arguments that cannot be written
        failed(SOURCE, error)
        return {}
