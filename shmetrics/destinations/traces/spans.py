# SPDX-License-Identifier: Apache-2.0
"""Spans as a forwarder's items: rows of the trace store that wait, spans once they are sent."""

from __future__ import annotations

from typing import Final

from shmetrics.forwarding.forwarder import Kind
from shmetrics.traces.reader import Row, StoredSpan, span_of
from shmetrics.traces.store import SPAN_BYTES


def _size_bytes(row: Row) -> int:
    return SPAN_BYTES + sum(len(text.encode()) for text in row[9:11] if text)


SPANS: Final[Kind[Row, StoredSpan]] = Kind("spans", _size_bytes, span_of)
