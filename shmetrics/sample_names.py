# SPDX-License-Identifier: Apache-2.0
"""The names under which Prometheus sees a family: one family of calls is shown as four."""

from __future__ import annotations

from shmetrics import layout
from shmetrics.dictionary import Definition

# What the families of one family of calls are called, after its name.
CALL_STARTS = "_invocation_start"
CALL_ENDS = "_invocation_end"
CALL_SECONDS = "_processing_seconds"
CALL_EXCEPTIONS = "_exception"
CALL_COUNTERS = (CALL_STARTS, CALL_ENDS, CALL_EXCEPTIONS)

# What the samples of a counter and of a histogram are called, after its name.
TOTAL = "_total"
_COUNTER = (TOTAL, "_created")
_HISTOGRAM = ("_bucket", "_count", "_sum", "_created")

_SHOWN_AS_COUNTERS = (layout.TYPE_COUNTER, layout.TYPE_OBSERVED)


def family_names(definition: Definition) -> tuple[str, ...]:
    """Return the names that people know a family by: its own, and those of what it is shown as."""
    name = definition.name
    if definition.type in _SHOWN_AS_COUNTERS:
        return name, name + TOTAL
    if definition.type == layout.TYPE_CALLS:
        counters = (name + part + TOTAL for part in CALL_COUNTERS)
        return name, name + CALL_SECONDS, *counters
    return (name,)


def sample_names(definition: Definition) -> set[str]:
    """Return every name under which a family or its samples appear on `/metrics`."""
    name = definition.name
    if definition.type in _SHOWN_AS_COUNTERS:
        return _with(name, _COUNTER)
    if definition.type == layout.TYPE_HISTOGRAM:
        return _with(name, _HISTOGRAM)
    if definition.type == layout.TYPE_CALLS:
        counters = (_with(name + part, _COUNTER) for part in CALL_COUNTERS)
        return _with(name + CALL_SECONDS, _HISTOGRAM).union(*counters)
    return {name}


def _with(name: str, suffixes: tuple[str, ...]) -> set[str]:
    return {name, *(name + suffix for suffix in suffixes)}
