# SPDX-License-Identifier: Apache-2.0
"""The other end of an RPC: `python -m benchmarks.rabbit_service BROKER`, until it is terminated.

One process answers for all contenders, each on a topic and a transport of its own: what differs
between two processes is not what is asked.
"""

from __future__ import annotations

import signal
import sys
import threading
import warnings
from typing import Any

warnings.simplefilter("ignore")  # eventlet warns of itself when it is imported

import oslo_messaging  # noqa: E402
from oslo_config import cfg  # noqa: E402

HOST = "host-17"
VERSION = "5.0"

# The contenders, and what stands before the broker's URL.
SCHEMES = {"plain": "", "again": "", "hook": "shmetrics+", "stock": ""}


class Compute:
    """An endpoint that answers as a compute node does."""

    target = oslo_messaging.Target(version=VERSION)

    def build_and_run_instance(self, ctxt: Any, name: str) -> str:
        return name


def serve(broker: str) -> None:
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: told.set())
    servers = []
    for topic, scheme in SCHEMES.items():
        transport = oslo_messaging.get_rpc_transport(cfg.CONF, scheme + broker)
        target = oslo_messaging.Target(topic=topic, server=HOST)
        servers.append(oslo_messaging.get_rpc_server(transport, target, [Compute()]))
        servers[-1].start()
    print("ready", flush=True)
    told.wait()
    for server in servers:
        server.stop()
    for server in servers:
        server.wait()


if __name__ == "__main__":
    serve(sys.argv[1])
