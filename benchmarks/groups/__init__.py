# SPDX-License-Identifier: Apache-2.0
"""All groups, by key, in the order of the report.

A run starts hundreds of processes, each for one contender: a process imports the module of its
group, and no other.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping

from benchmarks.contender import Group


class Groups(Mapping[str, Group]):
    """Groups by key, whose modules are imported when they are asked for."""

    def __init__(self, places: Mapping[str, str]) -> None:
        """Take the place of each group: its module here, and its name in it."""
        self._places = places

    def __getitem__(self, key: str) -> Group:
        module, _, name = self._places[key].partition(".")
        found = getattr(importlib.import_module(f"{__name__}.{module}"), name)
        assert isinstance(found, Group)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


GROUPS = Groups(
    {
        "inc": "instruments.INC",
        "labelled": "instruments.LABELLED",
        "observe": "instruments.OBSERVE",
        "timers": "instruments.TIMERS",
        "totals": "observed.TOTALS",
        "rpc": "instruments.RPC",
        "turns": "turns.TURNS",
        "turns-one": "turns.ONE_CORE",
        "busy": "busy.BUSY",
        "hook": "hook.SEND",
        "call": "hook.CALL",
        "span": "traces.SPAN",
        "resting": "traces.RESTING",
        "decorated": "traces.DECORATED",
        "kept": "keeping.KEPT",
        "drain-beside": "keeping.DRAIN",
        "wait-beside": "keeping.WAIT",
        "rabbit": "rabbit.RABBIT",
        "rabbit-server": "rabbit.SERVER",
        "after": "rabbit.AFTER",
        "import-time": "imports.SECONDS",
        "import-memory": "imports.BYTES",
        "core": "core.CORE",
        "ring-1": "rings.ONE",
        "ring-2": "rings.TWO",
        "clock": "clocks.CLOCK",
        "spill": "spill.SPILL",
        "processes": "scaling.PROCESSOR",
        "node": "scaling.NODE",
        "series": "scaling.BY_SERIES",
        "scrape": "scrape.SCRAPE",
        "http": "http.HTTP",
        "memory": "http.MEMORY",
        "protobuf": "protobuf.PROTOBUF",
        "forward-graphite": "forwarding.FORWARD_GRAPHITE",
        "forward-statsd": "forwarding.FORWARD_STATSD",
        "forward-remote-write": "forwarding.FORWARD_REMOTE_WRITE",
        "forward-otlp": "forwarding.FORWARD_OTLP",
        "forward-elasticsearch": "forwarding.FORWARD_ELASTICSEARCH",
        "forward-scrape": "forwarding.FORWARD_SCRAPE",
        "crowded-drain": "crowded.DRAIN",
        "crowded-text": "crowded.TEXT",
        "lanes": "lanes.SHARED",
        "idle": "lanes.IDLE",
        "labels-process": "labels.EMITTER",
        "labels-process-memory": "labels.EMITTER_BYTES",
        "labels-collector": "labels.COLLECTOR",
        "labels-collector-memory": "labels.COLLECTOR_BYTES",
        "labels-series": "labels.SERIES",
        "restart": "restart.RESTART",
        "grow": "grow.WHOLE",
        "grow-longest": "grow.LONGEST",
        "turnover": "turnover.TURNOVER",
        "units": "units.PASS",
        "by-unit": "units.TABLE",
        "gatherer": "units.SHARE",
        "gatherer-memory": "units.MEMORY",
        "textfiles": "textfiles.GROUP",
        "run-output": "run.OUTPUT",
        "probes": "probes.RUN",
    }
)
