# SPDX-License-Identifier: Apache-2.0
"""The limits of the trace store, from the options."""

from __future__ import annotations

from shmetrics.config import Traces
from shmetrics.traces.store import Limits


def trace_limits(options: Traces) -> Limits:
    """Return how much the trace store keeps."""
    return Limits(
        options.max_traces,
        options.max_bytes,
        options.max_age_seconds,
        options.max_spans_per_trace,
    )
