# SPDX-License-Identifier: Apache-2.0
"""The services of the demo: `python -m shmetrics.cli.demo_service ROLE URL`.

They are a compute and a network service, with a method that is sometimes slow, one that sometimes
fails, casts, a fanout, and a call that times out. The code does not use shmetrics: only the URL of
the transport names it.
"""

from __future__ import annotations

import contextlib
import random
import signal
import sys
import threading
import time
from typing import Any

import oslo_messaging
from oslo_config import cfg

HOOK = "shmetrics+"
EXCHANGE = "demo"


class NoValidHost(Exception):
    """The error of a scheduler that has no room for an instance."""


class Compute:
    """The endpoint of the topic compute."""

    target = oslo_messaging.Target(version="5.0")

    def build(self, context: dict[str, Any], instance: int) -> str:
        time.sleep(random.expovariate(1 / 0.02))
        if instance % 17 == 0:
            raise NoValidHost(f"no room for instance {instance}")
        return "active"

    def reboot(self, context: dict[str, Any], instance: int) -> None:
        time.sleep(random.uniform(0.05, 0.4))

    def migrate(self, context: dict[str, Any], instance: int) -> None:
        time.sleep(random.uniform(2.0, 4.0))


class Network:
    """The endpoint of the topic network."""

    target = oslo_messaging.Target(version="1.1")

    def plug(self, context: dict[str, Any], port: int) -> None:
        time.sleep(random.uniform(0.001, 0.005))

    def refresh(self, context: dict[str, Any]) -> None:
        time.sleep(0.001)


def serve(transport: Any) -> list[Any]:
    """Start both servers, and return them."""
    servers = []
    for topic, endpoint in (("compute", Compute()), ("network", Network())):
        target = oslo_messaging.Target(exchange=EXCHANGE, topic=topic, server="node-1")
        server = oslo_messaging.get_rpc_server(transport, target, [endpoint], "threading")
        server.start()
        servers.append(server)
    return servers


def talk(transport: Any, stopping: threading.Event) -> list[threading.Thread]:
    """Start the clients, and return their threads, each of which calls in a rhythm of its own."""

    def client(topic: str, version: str, timeout_seconds: float, **target: Any) -> Any:
        found = oslo_messaging.Target(exchange=EXCHANGE, topic=topic, version=version, **target)
        return oslo_messaging.get_rpc_client(transport, found, timeout=timeout_seconds)

    compute = client("compute", "5.0", 60)
    network = client("network", "1.1", 5)
    hurried = client("compute", "5.0", 1)
    everybody = client("network", "1.1", 5, fanout=True)
    rhythms = [
        (0.05, lambda n: compute.call({}, "build", instance=n)),
        (0.02, lambda n: network.call({}, "plug", port=n)),
        (0.3, lambda n: compute.call({}, "reboot", instance=n)),
        (0.2, lambda n: network.cast({}, "plug", port=n)),
        (2.0, lambda n: everybody.cast({}, "refresh")),
        (3.0, lambda n: hurried.call({}, "migrate", instance=n)),
    ]

    def repeat(seconds: float, act: Any) -> None:
        n = 0
        while not stopping.wait(random.expovariate(1 / seconds)):
            n += 1
            # NoValidHost, or a timeout: a real service would log it and continue.
            with contextlib.suppress(Exception):
                act(n)

    threads = [threading.Thread(target=repeat, args=rhythm, daemon=True) for rhythm in rhythms]
    for thread in threads:
        thread.start()
    return threads


def main(role: str, url: str) -> None:
    """Run the services of a role (server, client or both) until SIGTERM."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stopping.set())
    cfg.CONF([], project="shmetrics-demo", default_config_files=[], default_config_dirs=[])
    url = url if url.startswith(HOOK) else HOOK + url
    transport = oslo_messaging.get_rpc_transport(
        cfg.CONF, url, allowed_remote_exmods=[NoValidHost.__module__]
    )
    servers = serve(transport) if role in ("server", "both") else []
    print("ready", flush=True)  # before this there is no server for a client's calls
    threads = talk(transport, stopping) if role in ("client", "both") else []
    while not stopping.wait(1.0):
        pass
    for thread in threads:
        thread.join(0.5)
    for server in servers:
        server.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
