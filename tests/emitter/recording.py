# SPDX-License-Identifier: Apache-2.0
"""Recording, as the tests of the instruments do it."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import shmetrics
from shmetrics import _ring

KINDS = ("Counter", "Gauge", "Histogram")


def made(kind: str, name: str, *labels: str) -> Any:
    return getattr(shmetrics, kind)(name, "Help", labels)


def dropped() -> dict[str, int]:
    found: dict[str, int] = _ring.process_status()["dropped"]
    return {cause: n for cause, n in found.items() if n}


def spend() -> float:
    """Take a millisecond or more, by the clock that timers read. Returns the seconds."""
    begun = perf_counter()
    while (seconds := perf_counter() - begun) < 0.001:
        pass
    return seconds
