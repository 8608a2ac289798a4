# SPDX-License-Identifier: Apache-2.0
"""A node of many lanes, without a process for each: what emitters would write is written here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

RECORDS = 1024


@contextmanager
def directory() -> Iterator[Any]:
    """A runtime directory of our own."""
    from shmetrics.collector.directory import Directory

    with TemporaryDirectory(prefix="shmetrics-bench-") as folder:
        found = Directory(Path(folder) / "run")
        with closing(found):
            yield found


def collector(of: Any) -> Any:
    """A collector in this process. It listens nowhere."""
    from shmetrics.collector.collector import Collector, Settings
    from shmetrics.store.self_metrics import SelfMetrics

    return Collector(of, Settings(), SelfMetrics("benchmark"))


def lanes(collector: Any, count: int, label_sets: int, opened: ExitStack, shared: bool) -> None:
    """Lanes of living processes, with a call in each of so many label sets, drained.

    shared: the same label sets in all of them; otherwise no two are the same.
    """
    from shmetrics import layout
    from shmetrics.oslo_families import RPC_CLIENT
    from shmetrics.registration.peer import Peer
    from shmetrics.registration.protocol import Hello
    from tests.nodes.hostile import LaneFile

    kinds = {name: kind for kind, name in layout.KIND_NAMES.items()}
    peer = Peer(os.getpid(), os.getuid(), os.getgid())
    for number in range(count):
        granted = collector.grant(peer, Hello(layout.LAYOUT_VERSION, RECORDS, "service"))
        lane = opened.enter_context(closing(LaneFile(granted.lane_fd)))
        family = lane.family(RPC_CLIENT)
        for method in range(label_sets):
            values = dict.fromkeys(RPC_CLIENT.label_names, "")
            values |= {"topic": "" if shared else f"topic_{number}", "method": f"method_{method}"}
            series = lane.series(RPC_CLIENT.type, family, *values.values())
            lane.record(kinds["call_start"], series)
            lane.record(kinds["call_end"], series, duration_ns=12_300_000)
        collector.drain()


def own_lane(collector: Any) -> None:
    """A lane for this process, from a collector that is in it too."""
    import shmetrics
    from shmetrics import _ring, layout
    from shmetrics.registration.peer import Peer
    from shmetrics.registration.protocol import Hello

    shmetrics.status()  # from now on this process can record
    peer = Peer(os.getpid(), os.getuid(), os.getgid())
    granted = collector.grant(peer, Hello(layout.LAYOUT_VERSION, 0, "service"))
    _ring.process_attach(_ring.process_epoch(), _ring.Descriptor(granted.lane_fd))
