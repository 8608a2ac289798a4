# SPDX-License-Identifier: Apache-2.0
"""Strict mode: raise where prometheus_client raises or the collector refuses, for tests.

SHMETRICS_STRICT=1 is read once, at the start. Without it nothing here does anything, and no record
costs more: series with checks are of classes of their own.
"""

from __future__ import annotations

import os
from typing import Any, NoReturn, TypeVar

from shmetrics.binding import layout
from shmetrics.binding import ring as _ring
from shmetrics.dictionary import Definition
from shmetrics.sample_names import sample_names

IS_STRICT = os.environ.get("SHMETRICS_STRICT") == "1"

Series = TypeVar("Series", bound=_ring.Series)


def check(definition: Definition) -> None:
    """Raise ValueError for a definition that prometheus_client or the collector refuses.

    Args:
        definition: the definition, in which what is no text is empty, and what is no number is NaN.
    """
    from shmetrics import definitions  # loads much that few need

    if not definition.name:
        raise ValueError("a metric needs a name, which is a text")
    refusal = definitions.check(definition) or definitions.check_pid(definition)
    if refusal is not None:
        raise ValueError(f"{refusal.text}; {refusal.mend}")
    if definition.type == layout.TYPE_HISTOGRAM and not definition.bounds:
        raise ValueError(f"{definition.name}: a histogram needs at least one bucket bound")
    _check_names(definition)


def _names_of(definition: Definition) -> set[str]:
    return {definition.name, *sample_names(definition)}


def _check_names(definition: Definition) -> None:
    """Raise ValueError if another metric of this process has one of the names."""
    for family in list(_ring.families.values()):
        other = family.definition
        if other.shape() != definition.shape() and _names_of(other) & _names_of(definition):
            raise ValueError(
                f"{definition.name}: this process has it already, with another type, labels or "
                "buckets"
            )


def wrong_labels(definition: Definition, error: Exception | None) -> NoReturn:
    """Raise for wrong labels: what a label value's own text raised, or ValueError."""
    if error is not None and not isinstance(error, (KeyError, ValueError)):
        raise error
    names = ", ".join(definition.label_names) or "none"
    raise ValueError(f"{definition.name}: give one value for each of its labels: {names}")


class _Counter:
    """Checks of a counter."""

    def inc(self, amount: Any = 1, exemplar: dict[str, str] | None = None) -> None:
        if amount < 0:
            raise ValueError("a counter takes no negative amount")
        super().inc(0.0 + amount, exemplar)  # type: ignore[misc]


class _Observed:
    """Checks of an observed counter."""

    def set_total(self, value: Any) -> None:
        super().set_total(_total(value))  # type: ignore[misc]

    def new_generation(self, value: Any = 0) -> None:
        super().new_generation(_total(value))  # type: ignore[misc]


def _total(value: Any) -> float:
    if value < 0:
        raise ValueError("a counter has no negative total")
    return float(value)


class _Gauge:
    """Checks of a gauge."""

    with_stamp: bool

    def set(self, value: Any) -> None:
        super().set(float(value))  # type: ignore[misc]

    def inc(self, amount: Any = 1) -> None:
        self._check_mode()
        super().inc(0.0 + amount)  # type: ignore[misc]

    def dec(self, amount: Any = 1) -> None:
        self._check_mode()
        super().dec(0.0 + amount)  # type: ignore[misc]

    def _check_mode(self) -> None:
        if self.with_stamp:
            raise RuntimeError("a gauge with mode mostrecent can be set, and nothing else")


class _Histogram:
    """Checks of a histogram."""

    def observe(self, amount: Any, exemplar: dict[str, str] | None = None) -> None:
        super().observe(0.0 + amount, exemplar)  # type: ignore[misc]


_CHECKED: dict[type, type] = {
    series: type(series.__name__, (checks, series), {})
    for series, checks in (
        (_ring.CounterSeries, _Counter),
        (_ring.ObservedSeries, _Observed),
        (_ring.GaugeSeries, _Gauge),
        (_ring.HistogramSeries, _Histogram),
    )
    if IS_STRICT
}


def checked(series_class: type[Series]) -> type[Series]:
    """Return a class of series; in strict mode one that checks values, too."""
    return _CHECKED.get(series_class, series_class)
