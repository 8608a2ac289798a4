# SPDX-License-Identifier: Apache-2.0
"""A span by OSProfiler's own profiler and by the compiled one, and what either costs at rest."""

from __future__ import annotations

import socket
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from benchmarks import operations, world
from benchmarks.contender import Contender, Group, Timer

Stage = Callable[[], AbstractContextManager[Timer]]
Make = Callable[[Any], Timer]

SLOTS = 2  # a start and a stop


@contextmanager
def nobody() -> Iterator[str]:
    """Around a span there is no storage."""
    yield ""


@contextmanager
def collector() -> Iterator[str]:
    with world.collector():
        yield "shm://"


@contextmanager
def redis() -> Iterator[str]:
    from tests.servers.redis import Redis

    with tempfile.TemporaryDirectory(prefix="shmetrics-bench-") as folder:
        server = Redis(Path(folder))
        try:
            yield server.url
        finally:
            server.stop()


def lacking() -> str:
    from tests.servers.redis import lacking

    return lacking()


def profiler(compiled: bool, storage: str) -> Any:
    """OSProfiler's module, with this storage as its notifier; "" is none."""
    warnings.simplefilter("ignore")  # of what OSProfiler imports
    from oslo_config import cfg
    from osprofiler import notifier, opts
    from osprofiler import profiler as found
    from osprofiler.drivers.base import get_driver

    if compiled:
        import shmetrics.osprofiler

        if not shmetrics.osprofiler.install():
            raise RuntimeError("the compiled profiler cannot be loaded")
    if storage:
        from shmetrics.hooks.osprofiler import driver  # as an installation does by itself

        assert driver
        opts.set_defaults(cfg.CONF)
        of = {"service": "nova", "project": "cloud", "host": socket.gethostname()}
        notifier.set(get_driver(storage, **of).notify)
    return found


def active(compiled: bool, around: Callable[[], AbstractContextManager[str]]) -> Stage:
    """A span in a trace, which goes to the storage that is around it."""

    @contextmanager
    def stage() -> Iterator[Timer]:
        with around() as storage:
            found = profiler(compiled, storage)
            found.init("key")
            timer = operations.spans(found)
            if around is collector:
                timer = world.in_bursts(world.register(timer), SLOTS)
            yield timer

    return stage


def resting(make: Make, compiled: bool) -> Stage:
    """The same code, and there is no trace."""
    return lambda: nullcontext(make(profiler(compiled, "")))


def plain(argument: object) -> object:
    return argument


def decorated(found: Any) -> Timer:
    return operations.calls(found.trace("rpc")(plain))


SPAN = Group(
    "span",
    "A span: with profiler.Trace(name)",
    "Ids made, a start and a stop said. *No-op* is the notifier that OSProfiler begins with, Redis "
    "a server of its own on the loopback. With `shm://` a collector drains between bursts.",
    "compiled",
    (
        Contender("floor", "an empty block", lambda: nullcontext(operations.nothings())),
        Contender("compiled", "compiled, `shm://`", active(True, collector)),
        Contender("compiled-noop", "compiled, no-op", active(True, nobody)),
        Contender("shm", "OSProfiler's own, `shm://`", active(False, collector)),
        Contender("noop", "OSProfiler's own, no-op", active(False, nobody)),
        Contender("redis", "OSProfiler's own, Redis", active(False, redis)),
    ),
    lacking=lacking,
)
RESTING = Group(
    "resting",
    "The same block where there is no trace",
    "Instrumented code in a service that does not trace, or a request that nobody traces.",
    "compiled",
    (
        Contender("floor", "without the feature", lambda: nullcontext(operations.nothings())),
        Contender("compiled", "compiled", resting(operations.spans, True)),
        Contender("own", "OSProfiler's own", resting(operations.spans, False)),
    ),
)
DECORATED = Group(
    "decorated",
    "A function with @profiler.trace where there is no trace",
    "One argument, which OSProfiler's own makes a text of each time.",
    "compiled",
    (
        Contender("floor", "without the feature", lambda: nullcontext(operations.calls(plain))),
        Contender("compiled", "compiled", resting(decorated, True)),
        Contender("own", "OSProfiler's own", resting(decorated, False)),
    ),
)
