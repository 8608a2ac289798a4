# SPDX-License-Identifier: Apache-2.0
"""A real RPC over a real RabbitMQ: what measuring adds to all that a broker does, and what a single
step costs right after one."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks import operations, world
from benchmarks.contender import Contender, Effort, Group, Timer
from benchmarks.groups import hook

# Where the group's processes find what stands around them.
BROKER = "SHMETRICS_BENCH_BROKER"
SERVICE = "SHMETRICS_BENCH_SERVICE"  # the pid of the process that answers
TIMEOUT_S = 60
SENT_S = 30.0


@contextmanager
def broker() -> Iterator[None]:
    """A broker and a collector for all rounds."""
    from tests.servers.rabbitmq import RabbitMQ

    with tempfile.TemporaryDirectory(prefix="shmetrics-bench-") as folder, world.collector():
        node = RabbitMQ(Path(folder))
        os.environ[BROKER] = node.url
        try:
            yield
        finally:
            node.stop()


def lacking() -> str:
    from tests.servers import rabbitmq

    return rabbitmq.lacking()


@contextmanager
def service() -> Iterator[None]:
    """The process that answers."""
    command = [sys.executable, "-m", "benchmarks.rabbit_service", os.environ[BROKER]]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("the RPC server did not start")
        os.environ[SERVICE] = str(process.pid)
        yield
    finally:
        process.terminate()
        process.communicate()


@contextmanager
def service_and_nothing() -> Iterator[None]:
    """The same, and the driver that does nothing: drivers are looked for once in a process."""
    from benchmarks import nothing_driver

    with nothing_driver.installed(), service():
        yield


def calls(key: str, conf: Any, scheme: str | None = None) -> Timer:
    """RPCClient.call(), to the service and back.

    key: of the contender. scheme: what stands before the broker's URL; None: as at the service.
    """
    import oslo_messaging

    from benchmarks import rabbit_service

    url = (rabbit_service.SCHEMES[key] if scheme is None else scheme) + os.environ[BROKER]
    target = oslo_messaging.Target(
        topic=key, server=rabbit_service.HOST, version=rabbit_service.VERSION
    )
    client = oslo_messaging.get_rpc_client(oslo_messaging.get_rpc_transport(conf, url), target)
    call = client.prepare(timeout=TIMEOUT_S).call

    def timer(loops: int) -> float:
        begun = perf_counter()
        for _ in range(loops):
            call({}, "build_and_run_instance", name="instance")
        return perf_counter() - begun

    return timer


def step(make: Callable[[], Callable[[], object]]) -> Callable[[], Timer]:
    """One call of what is made, between two readings of the clock."""

    def timer() -> Timer:
        action = make()
        action()

        def once(_: int) -> float:
            begun = perf_counter()
            action()
            return perf_counter() - begun

        return once

    return timer


def nothing() -> Callable[[], object]:
    return lambda: None


def call_series() -> Callable[[], object]:
    from shmetrics import rpc

    series = rpc.client_call(**operations.LABELS)

    def both() -> None:
        series.end(series.start())

    return both


def after_call(make: Callable[[], Timer]) -> Callable[[], AbstractContextManager[Timer]]:
    """The clock runs for what comes when an RPC is over, and the caches hold what that needed."""

    @contextmanager
    def stage() -> Iterator[Timer]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from oslo_config import cfg

            rpc, timer = calls("plain", cfg.CONF), make()

            def after(loops: int) -> float:
                seconds = 0.0
                for _ in range(loops):
                    rpc(1)
                    seconds += timer(1)
                return seconds

            yield after

    return stage


def service_calls(key: str) -> Callable[[], AbstractContextManager[Timer]]:
    @contextmanager
    def stage() -> Iterator[Timer]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # eventlet warns of itself when it is imported
            from oslo_config import cfg

            yield calls(key, cfg.CONF)

    return stage


def served(key: str) -> Callable[[], AbstractContextManager[Timer]]:
    """The processor time that the service takes for a call, whose client is not measured."""

    @contextmanager
    def stage() -> Iterator[Timer]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # eventlet warns of itself when it is imported
            from oslo_config import cfg

            call, clock = calls(key, cfg.CONF, ""), processor_clock(int(os.environ[SERVICE]))

            def timer(loops: int) -> float:
                begun = when_idle(clock)
                call(loops)
                return when_idle(clock) - begun

            yield timer

    return stage


def processor_clock(pid: int) -> Callable[[], float]:
    """The clock of a process's processor time, which has nanoseconds: see clock_getcpuclockid(3).

    The number of the clock is made as the C library makes it.
    """
    return lambda: time.clock_gettime((~pid << 3) | 2)


def when_idle(clock: Callable[[], float]) -> float:
    """The time of a process's clock, once it stands still: a reply arrives before the rest of the
    work for it is done."""
    now = clock()
    while True:
        time.sleep(0.001)
        before, now = now, clock()
        if now == before:
            return now


@contextmanager
def stock() -> Iterator[Timer]:
    """Stock metrics on, for this contender alone. Its thread sends off the clock, and is waited
    for: the next contender is not to pay."""
    from oslo_config import cfg
    from oslo_messaging._metrics import client
    from oslo_messaging._tracing.client import oslo_messaging_tracing

    from benchmarks.sink import sink

    with sink() as path:
        conf = cfg.ConfigOpts()
        conf.register_opts(client.oslo_messaging_metrics, group="oslo_messaging_metrics")
        conf.register_opts(oslo_messaging_tracing, group="oslo_messaging_tracing")
        for option, value in {
            "metrics_enabled": True,
            "metrics_socket_file": path,
            "metrics_process_name": "nova-api",
            "metrics_thread_stop_timeout": 1,
        }.items():
            conf.set_override(option, value, group="oslo_messaging_metrics")
        timer = calls("stock", conf)
        timer(1)
        sender = client.get_collector(conf)

        def one(loops: int) -> float:
            took = timer(loops)
            begun = perf_counter()
            while not sender.tx_queue.empty():
                if perf_counter() - begun > SENT_S:
                    raise RuntimeError("stock metrics were not sent")
                time.sleep(0.0005)
            return took

        yield one
        sender.send_thread.join()  # it ends by itself, and needs the receiver until then


RABBIT = Group(
    "rabbit",
    "An RPC over RabbitMQ",
    "`RPCClient.call()` to a server in another process and back, over a broker on the same "
    "machine, with a collector running. All contenders share both processes and take turns call by "
    "call; each has its own connection. *Once more* is the first row again: what it differs by is "
    "what this way of measuring cannot tell from zero.",
    "plain",
    (
        Contender("plain", "`rabbit://`", service_calls("plain")),
        Contender("again", "`rabbit://`, once more", service_calls("again")),
        Contender("hook", "`shmetrics+rabbit://`, both ends", service_calls("hook")),
        Contender("stock", "`rabbit://`, stock metrics enabled", stock),
    ),
    # What a connection happens to find in the broker differs by more than what is looked for: many
    # rounds, each with connections of its own.
    effort=Effort(rounds=20, values=24, warmups=2, loops=16),
    together=service,
    around=broker,
    lacking=lacking,
)

SERVER = Group(
    "rabbit-server",
    "An RPC over RabbitMQ, at its server",
    "The processor time that one server process takes for a message, from before it comes until "
    "nothing is left to do for it. The process answers messages of all kinds, call by call in an "
    "order drawn anew for each turn; the client is measured in none of them. "
    "*Once more* is the first row again: what it differs by is what this way of measuring cannot "
    "tell from zero.",
    "plain",
    (
        Contender("plain", "`rabbit://`", served("plain")),
        Contender("again", "`rabbit://`, once more", served("again")),
        Contender("hook", "`shmetrics+rabbit://`", served("hook")),
    ),
    effort=Effort(rounds=8, values=20, warmups=2, loops=16),
    together=service,
    around=broker,
    lacking=lacking,
)

AFTER = Group(
    "after",
    "A step, right after an RPC",
    "The caches hold what the RPC needed, and no more: each function costs what it takes to fetch "
    "it. *Start and end* are two records, two clocks, and a function of Python around them.",
    "driver",
    (
        Contender("floor", "floor: an empty function", after_call(step(nothing))),
        Contender("call", "shmetrics, start and end of a call", after_call(step(call_series))),
        Contender(
            "driver",
            "`send()` of a driver that does nothing",
            after_call(lambda: hook.sends("nothing://")),
        ),
        Contender(
            "hook",
            "the same, and the hook",
            after_call(lambda: hook.sends("shmetrics+nothing://")),
        ),
    ),
    effort=Effort(rounds=5, values=24, warmups=2, loops=16),
    together=service_and_nothing,
    around=broker,
    lacking=lacking,
)
