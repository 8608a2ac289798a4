# SPDX-License-Identifier: Apache-2.0
"""Reports of spans that have ended: each comes once, whole, when the span is written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from shmetrics.traces.reader import Reader, Row, StoredSpan, span_of
from shmetrics.traces.store import Limits, TraceStore

from .conftest import event, id_of, whole


class Told:
    """A store, and what it has told."""

    def __init__(self, path: Path, limits: Limits = Limits()) -> None:  # noqa: B008
        self.spans: list[StoredSpan] = []
        self.store = TraceStore(path, limits, ended=self._heard)
        self._reader = Reader(path)

    def _heard(self, rows: Sequence[Row]) -> None:
        for row in rows:
            span = span_of(row)
            assert span in self._reader.spans(span.trace)  # it is written
            self.spans.append(span)

    def close(self) -> None:
        self.store.close()
        self._reader.close()


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path / "traces.db", Limits(spans_per_trace=3))


def test_a_span_is_told_when_it_stops_with_all_that_was_heard(told: Told) -> None:
    told.store.add([event(True, 1, at=5, info={"a": 1}), *whole(2), event(True, 3)])
    assert [span.id for span in told.spans] == [id_of(2)]
    told.store.add([event(False, 1, at=9, info={"etype": "E"})])
    (_, span) = told.spans
    assert (span.id, span.start_ns, span.stop_ns, span.start_info) == (id_of(1), 5, 9, {"a": 1})
    assert span.exception == "E"
    told.close()


def test_a_span_whose_process_died_is_told_once(told: Told) -> None:
    told.store.add([event(True, 1, lane=7), event(True, 2, lane=8), *whole(3, lane=7)])
    told.spans.clear()
    told.store.lane_ended(7)
    told.store.lane_ended(7)
    (span,) = told.spans
    assert (span.id, span.stop_ns, span.has_died) == (id_of(1), None, True)
    told.close()


def test_what_is_not_kept_is_not_told(told: Told) -> None:
    told.store.add([one for number in range(1, 6) for one in whole(number)])
    assert [span.id for span in told.spans] == [id_of(1), id_of(2), id_of(3)]
    told.close()
