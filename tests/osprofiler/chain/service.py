# SPDX-License-Identifier: Apache-2.0
"""What the services of the chain have in common: a configuration, and whom their spans are told."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # eventlet warns of itself when it is imported
    import oslo_messaging

from oslo_config import cfg
from osprofiler import notifier
from osprofiler.drivers import base

import shmetrics
import shmetrics.osprofiler
from shmetrics.hooks import switches

PROJECT, HOST = "chain", "node-1"


def start(service: str) -> tuple[Any, Any]:
    """Configuration and transport. $CHAIN_TOO is another connection string that is told of every
    span; $CHAIN_COMPILED puts the compiled profiler in."""
    if os.environ.get("CHAIN_COMPILED"):
        assert shmetrics.osprofiler.install()
    conf = cfg.CONF
    conf([], project=PROJECT, default_config_files=[sys.argv[1]])
    switches.setup(conf, service=service, project=PROJECT, host=HOST)
    also(os.environ.get("CHAIN_TOO"), service, conf)
    connect()
    return conf, oslo_messaging.get_rpc_transport(conf)


def also(connection_string: str | None, service: str, conf: Any) -> None:
    if not connection_string:
        return
    known = {"project": PROJECT, "service": service, "host": HOST, "conf": conf}
    first, second = notifier.get(), base.get_driver(connection_string, **known).notify

    def both(info: dict[str, Any], **more: Any) -> None:
        first(info, **more)
        second(info, **more)

    notifier.set(both)


def connect() -> None:
    """Spans before there is a lane are lost, and are not what is tested here."""
    started = shmetrics.Counter("started", "Services that wait for their lane")
    while not shmetrics.status()["connected"]:
        started.inc()


def until_told() -> None:
    """Says that it is ready, and goes on until the test closes its input."""
    print("ready", flush=True)
    sys.stdin.read()
