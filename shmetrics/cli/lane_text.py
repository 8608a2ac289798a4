# SPDX-License-Identifier: Apache-2.0
"""Words about a lane, as `/api/v1/lanes` describes it, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from shmetrics.cli.columns import printable
from shmetrics.figures import seconds


def process_of(lane: Mapping[str, Any]) -> str:
    """Return the process of a lane, for people."""
    return printable(f"lane {lane['lane']} ({lane['process']}, pid {lane['pid']})")


def state_of(lane: Mapping[str, Any]) -> str:
    """Return the state of a lane and its process in one word, the most urgent one."""
    if lane["state"] != "open":
        return printable(lane["state"])
    halt = lane.get("halt")  # an older collector has none
    if halt:
        return printable(halt["state"])
    return "overflows" if lane["overflowed"] or lane.get("overflows") else "open"


def halts_of(lane: Mapping[str, Any]) -> Iterator[str]:
    """Yield one line if its process does not run, or the one that would replace it does not."""
    halt = lane.get("halt")
    master = lane.get("stopped_parent")  # an older collector says nothing of it
    if halt:
        state, cause, mend = (printable(halt[key]) for key in ("state", "cause", "mend"))
        age = halt.get("seen_seconds", 0.0)  # an older collector does not say it
        since = f", first seen so {seconds(age)} ago" if age >= 1 else ""
        yield f"{process_of(lane)}: it is {state}{since}, and answers nobody: {cause}; {mend}"
    elif master:
        yield (
            f"{process_of(lane)}: its parent, process {printable(master)}, is stopped, and starts "
            f"no other one when it ends; kill -CONT {printable(master)}"
        )


def problems_of(lane: Mapping[str, Any]) -> Iterator[str]:
    """Yield one line if its process does not run, and for each metric that is not as it should be.

    Such a metric is refused, or its label sets overflow.
    """
    yield from halts_of(lane)
    # An older collector has no such lists.
    for each in (*lane.get("refusals", ()), *lane.get("overflows", ())):
        metric, cause, mend = (printable(each.get(key, "")) for key in ("metric", "cause", "mend"))
        yield f"{process_of(lane)}: {metric}: {cause}; {mend}"
