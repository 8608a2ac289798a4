# SPDX-License-Identifier: Apache-2.0
"""A real RPC over a real RabbitMQ: what measuring adds to all that a broker does."""

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

from benchmarks import world
from benchmarks.contender import Contender, Effort, Group, Timer

# Where the group's processes find what stands around them.
BROKER = "SHMETRICS_BENCH_BROKER"
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
        yield
    finally:
        process.terminate()
        process.communicate()


def calls(key: str, conf: Any) -> Timer:
    """RPCClient.call(), to the service and back."""
    import oslo_messaging

    from benchmarks import rabbit_service

    url = rabbit_service.SCHEMES[key] + os.environ[BROKER]
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


def service_calls(key: str) -> Callable[[], AbstractContextManager[Timer]]:
    @contextmanager
    def stage() -> Iterator[Timer]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # eventlet warns of itself when it is imported
            from oslo_config import cfg

            yield calls(key, cfg.CONF)

    return stage


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
    effort=Effort(rounds=10, values=60, warmups=2, loops=16),
    together=service,
    around=broker,
    lacking=lacking,
)
