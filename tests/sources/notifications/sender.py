# SPDX-License-Identifier: Apache-2.0
"""A service whose OSProfiler says everything twice: over the bus, and through shared memory. Run by
the test, in a process of its own: `sender.py TRANSPORT_URL`. Prints the base id of its trace."""

import sys
import warnings
from contextlib import suppress
from typing import Any

warnings.simplefilter("ignore")  # eventlet warns of itself when it is imported

from oslo_config import cfg  # noqa: E402
from osprofiler import notifier, profiler  # noqa: E402
from osprofiler.drivers.base import get_driver  # noqa: E402

import shmetrics  # noqa: E402
from shmetrics.hooks.osprofiler import driver  # noqa: E402, F401

OF = {"project": "cloud", "service": "nova", "host": "node-1"}


@profiler.trace_cls("rpc", hide_result=False)
class Service:
    def build(self, name: str, depth: int) -> str:
        with profiler.Trace("db", info={"db": {"statement": "SELECT ü", "params": [1, None, 2.5]}}):
            pass
        if depth:
            return self.build(name, depth - 1)
        raise ValueError(f"no {name}")


def main() -> None:
    registers = shmetrics.Counter("registers", "It")
    while not shmetrics.status()["connected"]:
        registers.inc()
    conf = cfg.ConfigOpts()
    conf([])
    bus: Any = get_driver("messaging://", transport_url=sys.argv[1], conf=conf, **OF)
    lane = get_driver("shm://", **OF)

    def notify(info: dict[str, Any]) -> None:
        lane.notify(info)
        bus.notify(info)

    notifier.set(notify)
    base_id = profiler.init("SECRET_KEY").get_base_id()
    with profiler.Trace("wsgi", info={"request": {"path": "/v2"}}), suppress(ValueError):
        Service().build("vm", 2)
    bus.transport.cleanup()
    print(base_id)


if __name__ == "__main__":
    main()
