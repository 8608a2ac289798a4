# SPDX-License-Identifier: Apache-2.0
"""Words about a lane, as `/api/v1/lanes` describes it, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from shmetrics.cli.columns import printable


def process_of(lane: Mapping[str, Any]) -> str:
    """Return the process of a lane, for people."""
    return printable(f"lane {lane['lane']} ({lane['process']}, pid {lane['pid']})")


def problems_of(lane: Mapping[str, Any]) -> Iterator[str]:
    """Yield one line for each of its metrics that is refused or overflows."""
    # An older collector has no such lists.
    for each in (*lane.get("refusals", ()), *lane.get("overflows", ())):
        metric, cause, mend = (printable(each.get(key, "")) for key in ("metric", "cause", "mend"))
        yield f"{process_of(lane)}: {metric}: {cause}; {mend}"
