# SPDX-License-Identifier: Apache-2.0
"""Sources that a service switches on again and again have the families that they had."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest

from shmetrics import _ring
from shmetrics.hooks.osprofiler.driver import Shm
from shmetrics.hooks.tracing import failures
from shmetrics.hooks.tracing.operations import Operations
from tests.nodes.loopback import Loopback, loopback

__all__ = ["loopback"]


def enable_and_disable(source: str, **wanted: Any) -> Callable[[], None]:
    module = importlib.import_module(f"shmetrics.hooks.{source}")

    def both() -> None:
        module.enable(**wanted)
        switch = getattr(module, "_switch", None)
        for operations in vars(switch.installed if switch else module).values():
            if isinstance(operations, Operations):
                calls = operations.calls
                with calls.labels(*calls.definition.label_names)():
                    pass
        module.disable()

    return both


def fail() -> None:
    failures._counter.cache_clear()  # as if it were loaded again
    failures.failed("rpc", ValueError())
    failures.refused("rpc", "no key")


def span_of_a_driver() -> None:
    """Record a span in a service that makes its notifier anew."""
    driver = Shm("shm://", project="cloud", service="nova", host="h")
    driver.notify({"name": "rpc-start"} | dict.fromkeys(["base_id", "trace_id", "parent_id"], ID))


ID = "1" * 32
SOURCES: dict[str, Callable[[], None]] = {
    "sqlalchemy": enable_and_disable(
        "sqlalchemy", statements=True, transactions=True, parameters=False
    ),
    "redis": enable_and_disable("redis", arguments=False),
    "requests": enable_and_disable("requests", arguments=False),
    "classes": enable_and_disable("classes", names=["json:JSONDecoder"], arguments=False),
    "failures": fail,
    "spans": span_of_a_driver,
}


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_that_is_made_a_hundred_times_has_its_families(
    loopback: Loopback, source: str
) -> None:
    SOURCES[source]()
    loopback.collector.tick()
    lanes = loopback.collector._lanes
    before = len(_ring.families), lanes.most_families(), lanes.most_series()
    for _ in range(100):
        SOURCES[source]()
    loopback.collector.tick()
    assert (len(_ring.families), lanes.most_families(), lanes.most_series()) == before
