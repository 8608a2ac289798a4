# SPDX-License-Identifier: Apache-2.0
"""The sources of spans that `[profiler]` of a service's configuration switches on.

Nothing is on by default, and nothing is loaded for a source that is off. `setup` turns on the
sources that need no help of the service. The WSGI middleware and the oslo.messaging driver call
`setup` and turn on their own parts. OSProfiler's driver `shm` calls `setup_sources` with the
configuration that OSProfiler's initializer gives it, so a service with OSProfiler calls nothing.
"""

from __future__ import annotations

import importlib
import logging
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any, Final

__all__ = ["OFF", "Switches", "is_set_up", "setup", "setup_sources", "teardown"]

_LOG = logging.getLogger(__name__)

#: Loaded before OSProfiler looks for a driver, so that it finds ours.
_DRIVER: Final = "shmetrics.hooks.osprofiler.driver"

#: Loaded where transports are measured.
_MESSAGING: Final = "shmetrics.hooks.oslo_messaging"


@dataclass(frozen=True)
class Switches:
    """The sources that are on. Spans need `[profiler] enabled`; metrics of databases do not."""

    compiled: bool = False
    wsgi: bool = False
    rpc: bool = False
    requests: bool = False
    classes: tuple[str, ...] = ()
    statements: bool = False
    transactions: bool = False
    redis: bool = False
    mongodb: bool = False
    parameters: bool = False
    arguments: bool = False
    hmac_keys: tuple[str, ...] = field(default=(), repr=False)

    def __bool__(self) -> bool:
        """Return whether any source is on."""
        return any(
            (
                self.compiled,
                self.wsgi,
                self.rpc,
                self.requests,
                self.classes,
                self.statements,
                self.transactions,
                self.redis,
                self.mongodb,
            )
        )


OFF: Final = Switches()

_lock: Final = threading.RLock()  # reentrant: a notifier may make a driver of oslo.messaging
_undo: Final[dict[str, Callable[[], object]]] = {}
_warned: Final[set[str]] = set()
_is_set_up = False


def is_set_up() -> bool:
    """Return whether spans are to be made: True between `setup` and `teardown`."""
    return _is_set_up


def setup(conf: Any, service: str = "", project: str = "", host: str = "") -> Switches:
    """Turn on the sources of spans that a service's configuration asks for. Never raises.

    A source that cannot be turned on is left out, and one line of the log says why. A source that
    is on already stays as it is: each service has one configuration.

    Args:
        conf: The service's oslo.config, with the section `[profiler]`.
        service: The service that its spans name; default: the name of this process.
        project: The project that its spans name; default: `conf.project`.
        host: The host that its spans name; default: `conf.host`, or the name of this host. These
            three have no effect if the service has set a notifier of OSProfiler already.

    Returns:
        What is on, and which values are kept; its truth value is whether anything is on.
    """
    return _turned_on(conf, lambda: _set_notifier(conf, service, project, host))


def setup_sources(conf: Any) -> Switches:
    """Turn on what `setup` does, for a service that sets OSProfiler's notifier itself.

    Never raises. Before or after a `setup`, it changes nothing.

    Args:
        conf: The service's oslo.config, with the section `[profiler]`.

    Returns:
        What is on, as `setup` returns it.
    """
    return _turned_on(conf, None)


def _turned_on(conf: Any, set_notifier: Callable[[], Callable[[], object]] | None) -> Switches:
    """Turn on what a configuration asks for. Never raises.

    Args:
        conf: The service's oslo.config.
        set_notifier: sets OSProfiler's notifier, and returns the function that undoes it; None: the
            service does that.
    """
    try:
        found = _read(conf)
        if not found:
            return found
        if find_spec("osprofiler") is None:
            _LOG.warning("[profiler]: nothing is traced without OSProfiler; pip install osprofiler")
            return OFF
        with _lock:
            return _set_up(conf, found, set_notifier)
    except Exception as error:
        _LOG.warning("[profiler]: nothing is traced: %r", error)
        return OFF


def teardown() -> None:
    """Turn off all that `setup` has turned on. Never raises."""
    global _is_set_up
    with _lock:
        _is_set_up = False
        _warned.clear()
        while _undo:
            name, undo = _undo.popitem()
            try:
                undo()
            except Exception as error:
                _LOG.warning("[profiler] %s cannot be turned off: %r", name, error)


def _read(conf: Any) -> Switches:
    from shmetrics.hooks.tracing import options

    options.register(conf)
    said = conf.profiler
    spans = bool(said.enabled)
    return Switches(
        compiled=spans and said.compiled_profiler,
        wsgi=spans and said.trace_wsgi,
        rpc=spans and said.trace_rpc,
        requests=spans and said.trace_requests,
        classes=tuple(said.trace_classes) if spans else (),
        statements=said.trace_sqlalchemy,
        transactions=said.trace_transactions,
        redis=said.trace_redis,
        mongodb=said.trace_mongodb,
        parameters=said.trace_sql_parameters,
        arguments=said.trace_arguments,
    )


def _set_up(
    conf: Any, found: Switches, set_notifier: Callable[[], Callable[[], object]] | None
) -> Switches:
    global _is_set_up
    from osprofiler import _utils, opts

    opts.set_defaults(conf)
    found = replace(found, hmac_keys=tuple(_utils.split(conf.profiler.hmac_keys or "")))
    _is_set_up = True
    if set_notifier is not None and conf.profiler.enabled and "connection_string" not in _undo:
        _undo["connection_string"] = _nothing  # the driver of a notifier may come here again
        try:
            _undo["connection_string"] = set_notifier()
        except BaseException:
            del _undo["connection_string"]  # the next one tries again
            raise
    for name, module, wanted in _sources(found):
        if name not in _undo:
            _undo[name] = _enable(name, module, wanted)
    for name, why in _without_effect(conf, found):
        if name not in _warned:
            _warned.add(name)
            _LOG.warning("[profiler] %s", why)
    return found


def _without_effect(conf: Any, found: Switches) -> Iterator[tuple[str, str]]:
    """Yield the options that are set and have no effect, and why."""
    if (found.wsgi or found.rpc) and not found.hmac_keys:
        yield (
            "hmac_keys",
            "hmac_keys is empty, so no trace is taken from another service; "
            "set the key that the other services have",
        )
    if found.rpc and "transport_url" in conf and _MESSAGING not in sys.modules:
        scheme = str(conf.transport_url).partition("://")[0]
        if not scheme.startswith("shmetrics+"):
            yield (
                "trace_rpc",
                f"trace_rpc has no effect with transport_url = {scheme}://...; "
                f"write shmetrics+{scheme}://... there",
            )


def _enable(name: str, module: str, wanted: dict[str, Any]) -> Callable[[], object]:
    """Turn a source on, and return the function that turns it off."""
    try:
        source = importlib.import_module(module)
        source.enable(**wanted)
    except Exception as error:
        _LOG.warning("[profiler] %s: %r", name, error)
        return _nothing
    disable: Callable[[], object] = source.disable
    return disable


def _nothing() -> None: ...


def _sources(found: Switches) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the sources to turn on: for each its option, its module, and enable()'s arguments."""
    arguments = {"arguments": found.arguments}
    if found.compiled:
        yield "compiled_profiler", "shmetrics.hooks.osprofiler.installation", {}
    if found.wsgi:
        wanted = {**arguments, "counts": found.rpc, "keys": found.hmac_keys}
        yield "trace_wsgi", "shmetrics.hooks.osprofiler.middleware", wanted
    if found.statements or found.transactions:
        yield (
            "trace_sqlalchemy" if found.statements else "trace_transactions",
            "shmetrics.hooks.sqlalchemy",
            {
                "statements": found.statements,
                "transactions": found.transactions,
                "parameters": found.parameters,
            },
        )
    if found.redis:
        yield "trace_redis", "shmetrics.hooks.redis", arguments
    if found.mongodb:
        yield "trace_mongodb", "shmetrics.hooks.mongodb", arguments
    if found.requests:
        yield "trace_requests", "shmetrics.hooks.requests", arguments
    if found.classes:
        yield "trace_classes", "shmetrics.hooks.classes", {**arguments, "names": found.classes}


def _set_notifier(conf: Any, service: str, project: str, host: str) -> Callable[[], object]:
    """Set OSProfiler's notifier from `connection_string`, unless the service has set one.

    Returns:
        The function that undoes it.
    """
    from osprofiler import notifier
    from osprofiler.drivers import base

    from shmetrics.emitter.process import process_name

    importlib.import_module(_DRIVER)
    before = notifier.get()
    if before is not notifier._noop_notifier:
        return _nothing
    connection_string = conf.profiler.connection_string
    try:
        # Not notifier.create: it caches the driver, and would give it to a service that later asks
        # for one with its own project, service and host.
        tell = base.get_driver(
            connection_string,
            context={},
            project=project or getattr(conf, "project", None) or "",
            service=service or process_name(),
            host=host or getattr(conf, "host", None) or socket.gethostname(),
            conf=conf,
        ).notify
    except Exception as error:
        # The connection string may contain a password, and the error any part of that.
        safe = f"{connection_string.partition(':')[0]}://..."
        may_quote = "@" in connection_string or "?" in connection_string
        why = type(error).__name__ if may_quote else repr(error)
        _LOG.warning("[profiler] connection_string: no driver for %s: %s", safe, why)
        return _nothing
    notifier.set(tell)

    def restore() -> None:
        if notifier.get() is tell:
            notifier.set(before)

    return restore
