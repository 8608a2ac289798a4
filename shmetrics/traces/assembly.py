# SPDX-License-Identifier: Apache-2.0
"""Assembly of span events into rows: the start and the stop of a span, as far as a batch has them.

An event may come twice, a stop before its start, and either of them in a later batch. So a row has
what this batch knows and NULL for the rest, and the store combines the rows of one span. Of two
events about the same end of a span, the first one is right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from shmetrics.traces.event import SpanEvent
from shmetrics.traces.info import encode, failure

#: A span, in the order of the columns of the table of spans, without the first one, its trace.
SpanRow: TypeAlias = list[Any]
NAME, SERVICE, PROJECT, HOST = range(2, 6)
START_NS, STOP_NS, START_INFO, STOP_INFO, EXCEPTION, IS_CUT = range(6, 12)

#: The largest time that SQLite can hold.
LATEST_NS: Final = 2**63 - 1


def assemble(events: Iterable[SpanEvent]) -> tuple[dict[bytes, dict[bytes, SpanRow]], Counter[str]]:
    """Return the rows of the spans that the events are about.

    Args:
        events: starts and stops of spans, in the order in which they were heard.

    Returns:
        The rows by trace and span id, in the order in which these were first heard of; and the
        number of events whose info is not complete, by reason.
    """
    traces: dict[bytes, dict[bytes, SpanRow]] = {}
    n_cut: Counter[str] = Counter()
    for event in events:
        # Unpacking by name takes half the time of taking some fields by index or as a list.
        is_start, id, trace, parent, name, service, project, host, unix_ns, info, cut, lane = event
        spans = traces.get(trace)
        if spans is None:
            traces[trace] = spans = {}
        row = spans.get(id)
        if row is None:
            spans[id] = row = [
                *(id, parent, name, service, project, host),
                *(None, None, None, None, None, False, False, lane),
            ]
        when, what = (START_NS, START_INFO) if is_start else (STOP_NS, STOP_INFO)
        if row[when] is None:
            row[when] = unix_ns if 0 <= unix_ns <= LATEST_NS else min(max(unix_ns, 0), LATEST_NS)
            if info:
                row[what], beyond = encode(info)
                cut = cut or beyond
                if not is_start:
                    row[EXCEPTION] = failure(info)
        if cut:
            row[IS_CUT] = True
            n_cut[cut] += 1
    return traces, n_cut
