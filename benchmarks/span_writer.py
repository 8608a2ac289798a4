# SPDX-License-Identifier: Apache-2.0
"""`python -m benchmarks.span_writer`: a process that decodes and stores spans all the time.

Says `ready` when it does, and ends with its standard input.
"""

from __future__ import annotations

import contextlib
import select
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import node
from benchmarks.span_service import INFO, SPANS_PER_TRACE

SPANS = 500
LOOK_S = 0.001


@dataclass(frozen=True)
class SpanWriter:
    """A collector in this process, the spans of one drain, and the trace store that takes them."""

    collector: Any
    traces: Any
    spans: Any
    taken: Any

    def write(self, times: int) -> None:
        """Hand the spans to the store's thread, so many times."""
        for _ in range(times):
            self.traces.add(lambda: self.spans.events(self.taken), self.taken.n, 1)

    def is_idle(self) -> bool:
        """Tell whether the store's thread has nothing to do."""
        return bool(self.traces.settle(0))


@contextmanager
def span_writer() -> Iterator[SpanWriter]:
    """A writer in a runtime directory of its own. This process has a lane then."""
    from shmetrics.collector.collector import Collector, Settings
    from shmetrics.lanes.spans import Spans
    from shmetrics.store.self_metrics import SelfMetrics
    from shmetrics.traces.store import Limits
    from shmetrics.traces.traces import Traces

    with contextlib.ExitStack() as opened:
        directory = opened.enter_context(node.directory())
        taken: list[Any] = []
        spans = Spans(taken.append, lambda lane: None)
        collector = Collector(directory, Settings(), SelfMetrics("benchmark"), spans=spans)
        opened.callback(collector.close)
        node.own_lane(collector)
        _emit()
        collector.drain()
        if not taken:
            raise RuntimeError("a drain brought no spans")
        traces = Traces(Path(directory.path, "traces.db"), Limits())
        opened.callback(traces.close)
        yield SpanWriter(collector, traces, spans, taken[0])


def _emit() -> None:
    from shmetrics.emitter.spans import Spans

    spans = Spans("nova", "cloud", "host-17")
    for number in range(1, SPANS):
        base, id = (str(uuid.UUID(int=n)) for n in (number // SPANS_PER_TRACE + 1, number))
        spans.start("db", id, base, base, INFO)
        spans.stop("db", id, base, base)


def main() -> None:
    with span_writer() as writer:
        writer.write(100)
        print("ready", flush=True)
        while not select.select([sys.stdin], [], [], LOOK_S)[0]:
            if writer.is_idle():
                writer.write(100)


if __name__ == "__main__":
    main()
