# SPDX-License-Identifier: Apache-2.0
"""Samples in Prometheus's text format as series of ordinary instruments.

Each sample name is an instrument: a counter's `_total` is an observed counter. Everything else is a
gauge, also the parts of a histogram or a summary, which keep their names. A name may have other
labels in another text, or later: each set of label names is a family of its own, which the
collector shows together. The type of a name is the one that came first with it.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final

from shmetrics import Gauge, ObservedCounter
from shmetrics.lines.line import RESERVED
from shmetrics.rate_limited_log import RateLimitedLog

if TYPE_CHECKING:
    from prometheus_client import Metric
    from prometheus_client.samples import Sample

log = logging.getLogger(__name__)

MOST_SERIES: Final = 10_000
MOST_FAMILIES: Final = 500
_TOTAL: Final = "_total"
_COUNTER: Final = "counter"


class Samples:
    """The series of all texts. One that a text has no more leaves."""

    def __init__(
        self,
        refuse: Callable[[str], None],
        stale_seconds: float = math.inf,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin without series.

        Args:
            refuse: called with the reason for each sample that is not taken: `reserved`,
                `too_many`, `type`.
            stale_seconds: the time after which a text leaves that was not recorded again.
            monotonic: a clock, in seconds.
        """
        self._count_refusal = refuse
        self._n_refused = 0
        self._stale_seconds = stale_seconds
        self._monotonic = monotonic
        self._recorded: dict[Hashable, float] = {}  # when each text was
        self._shown: dict[Hashable, Iterable[Metric]] = {}  # by text, if none of it was refused
        self._families: dict[tuple[str, frozenset[str]], _Family] = {}  # by name and label names
        self._types: dict[str, str] = {}  # by the name of a sample, and of an instrument
        self._series: dict[Hashable, dict[_Series, float]] = {}  # by text
        self._n = 0
        self._rate_limited = RateLimitedLog(log)

    def record(self, text: Hashable, families: Iterable[Metric], labels: Mapping[str, str]) -> None:
        """Record what a text says now.

        Args:
            text: which text it is: a file, or a probe.
            families: its families; the same object as the last time if it has not changed.
            labels: labels of all its series, at least one, beside their own. Its own of the same
                name become `exported_…`, as Prometheus has it. (The one series of an instrument
                without labels never leaves.)
        """
        if self._shown.get(text) is families:
            self._recorded[text] = self._monotonic()
            return
        n_refused = self._n_refused
        before = self._series.get(text, {})
        now: dict[_Series, float] = {}
        for metric in families:
            for sample in metric.samples:
                key = self._set(text, metric, sample, labels, before, len(now))
                if key is not None:
                    now[key] = sample.value
        for family, values in before.keys() - now.keys():
            family.instrument.remove(*values)
        self._n += len(now) - len(before)
        self._series[text], self._recorded[text] = now, self._monotonic()
        self._shown.pop(text, None)
        if not now:
            del self._series[text], self._recorded[text]
        elif n_refused == self._n_refused:  # else there may be room for all the next time
            self._shown[text] = families

    def forget(self, text: Hashable) -> None:
        """Remove the series of a text that is gone."""
        self.record(text, (), {})

    def expire(self) -> None:
        """Remove the series of texts that were not recorded for too long."""
        before = self._monotonic() - self._stale_seconds
        for text in [text for text, at in self._recorded.items() if at < before]:
            self.forget(text)

    def texts(self) -> list[Hashable]:
        """Return the texts that have series."""
        return list(self._series)

    def _refuse(self, reason: str, text: Hashable, name: str, why: str) -> None:
        self._n_refused += 1
        self._count_refusal(reason)
        where = f"probe {text[1]} of {text[0]}" if isinstance(text, tuple) else text
        self._rate_limited.warning((text, reason), f"{where}: {name}: refused: {why}", text)

    def _set(
        self,
        text: Hashable,
        metric: Metric,
        sample: Sample,
        labels: Mapping[str, str],
        before: Mapping[_Series, float],
        n_new: int,
    ) -> _Series | None:
        if sample.name.endswith("_created"):
            return None
        said = {
            f"exported_{name}" if name in labels else name: value
            for name, value in sample.labels.items()
            if value  # else it is as if there was no such label
        }
        names = frozenset((*labels, *said))
        family = self._families.get((sample.name, names)) or self._family(
            text, metric, sample, names
        )
        if family is None:
            return None
        if _type_of(metric, sample.name) != family.type:
            self._refuse_type(text, metric, sample.name)
            return None
        series = family, tuple([labels.get(name) or said.get(name, "") for name in family.names])
        if series not in before and self._n - len(before) + n_new >= MOST_SERIES:
            self._refuse("too_many", text, sample.name, f"more than {MOST_SERIES} series")
            return None
        family.set(series[1], sample.value, before.get(series))
        return series

    def _family(
        self, text: Hashable, metric: Metric, sample: Sample, names: frozenset[str]
    ) -> _Family | None:
        if sample.name.startswith(RESERVED):
            why = "names of this beginning are not for others; rename it"
            self._refuse("reserved", text, sample.name, why)
            return None
        if len(self._families) >= MOST_FAMILIES:
            why = f"more than {MOST_FAMILIES} names, each with its labels, since the gatherer began"
            self._refuse("too_many", text, sample.name, why)
            return None
        found = _Family(metric, sample.name, sorted(names))
        own = {sample.name, found.name}
        if any(self._types.get(name, found.type) != found.type for name in own):
            self._refuse_type(text, metric, sample.name)
            return None
        self._types.update(dict.fromkeys(own, found.type))
        self._families[sample.name, names] = found
        return found

    def _refuse_type(self, text: Hashable, metric: Metric, name: str) -> None:
        why = f"a {_type_of(metric, name)} here is none elsewhere; rename it, or write one # TYPE"
        self._refuse("type", text, name, why)


class _Family:
    """The instrument of a name and a set of label names, which is made when it is used first."""

    def __init__(self, metric: Metric, name: str, names: Sequence[str]) -> None:
        self.names = names
        self.type = _type_of(metric, name)
        self.name = name.removesuffix(_TOTAL) if self.type == _COUNTER else name
        self._help = metric.documentation

    @cached_property
    def instrument(self) -> Gauge | ObservedCounter:
        """Return the instrument."""
        if self.type == _COUNTER:
            return ObservedCounter(self.name, self._help, self.names)
        return Gauge(self.name, self._help, self.names, multiprocess_mode="livemostrecent")

    def set(self, values: tuple[str, ...], value: float, before: float | None) -> None:
        """Set the value of a series, which may be that of a program that has begun anew."""
        if isinstance(self.instrument, Gauge):
            self.instrument.labels(*values).set(value)
            return
        total = self.instrument.labels(*values)
        if before is not None and value < before:
            total.new_generation(value)
        else:
            total.set_total(value)


#: A series: its family, and its label values.
_Series = tuple[_Family, tuple[str, ...]]


def _type_of(metric: Metric, name: str) -> str:
    return _COUNTER if metric.type == _COUNTER and name.endswith(_TOTAL) else "gauge"
