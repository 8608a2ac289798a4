# SPDX-License-Identifier: Apache-2.0
"""The compiled profiler and OSProfiler's own, doing the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from osprofiler import notifier, profiler

import shmetrics.osprofiler

Payloads = list[dict[str, Any]]


class Heard(list[dict[str, Any]]):
    """The payloads that a notifier gets."""

    def __init__(self) -> None:
        super().__init__()
        notifier.set(self.append)


def numbered(payloads: Payloads) -> Payloads:
    """Return payloads with ids as the numbers in which they came up, and without times."""
    numbers: dict[str, int] = {}
    ids = ("base_id", "parent_id", "trace_id")
    return [
        {
            **payload,
            **{id: numbers.setdefault(payload[id], len(numbers)) for id in ids},
            "timestamp": len(payload["timestamp"]),
        }
        for payload in payloads
    ]


def both(act: Callable[[], Any]) -> tuple[Any, Any]:
    """Return the results of an act with OSProfiler's own profiler, and with the compiled one."""
    profiler.clean()
    theirs = act()
    profiler.clean()
    assert shmetrics.osprofiler.install()
    try:
        ours = act()
    finally:
        profiler.clean()
        shmetrics.osprofiler.uninstall()
    return theirs, ours
