# SPDX-License-Identifier: Apache-2.0
"""Transports that come and go: each is measured, and none costs the process anything for ever."""

import gc
import tracemalloc
from pathlib import Path
from typing import Any

import oslo_messaging
import pytest

import shmetrics
from shmetrics import _ring
from tests.nodes.loopback import Loopback, loopback

__all__ = ["loopback"]


def use_one(conf: Any) -> None:
    """Send a cast and a notification through a transport of their own."""
    transport = oslo_messaging.get_rpc_transport(conf, "shmetrics+fake://")
    client = oslo_messaging.get_rpc_client(transport, oslo_messaging.Target(topic="t"))
    client.cast({}, "build")
    oslo_messaging.Notifier(transport, "p", driver="messaging", topics=["n"]).info({}, "e", {})
    transport.cleanup()


@pytest.mark.slow
def test_what_is_sent_through_a_thousand_transports_is_counted(
    conf: Any, loopback: Loopback
) -> None:
    for _ in range(1000):
        use_one(conf)
    found = loopback.samples()
    for side in ("rpc_client", "notification_client"):
        for moment in ("start", "end"):
            assert found.sum(f"oslo_messaging_{side}_invocation_{moment}_total") == 1000
    assert loopback.collector._lanes.most_families() == 2
    assert loopback.collector._lanes.most_series() == 2
    assert {cause for cause, n in _ring.process_status()["dropped"].items() if n} == set()


@pytest.mark.slow
def test_a_transport_that_has_gone_leaves_nothing_of_ours(conf: Any, loopback: Loopback) -> None:
    ours = tracemalloc.Filter(True, f"{Path(shmetrics.__file__).parent}/*")

    def kept() -> int:
        gc.collect()
        return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([ours]).traces)

    tracemalloc.start()
    try:
        for _ in range(20):
            use_one(conf)
        before = kept()
        for _ in range(100):
            use_one(conf)
        assert kept() - before < 100 * 64
    finally:
        tracemalloc.stop()
