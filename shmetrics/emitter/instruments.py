# SPDX-License-Identifier: Apache-2.0
"""Counter, Gauge, Histogram and Calls: families, and their children by label values.

The first three have the shape of prometheus_client's classes. What differs is that nothing is
raised into the service: wrong labels or values are counted and shown by status(), and a family
that contradicts another process's is refused, and counted, by the collector.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar, cast

from shmetrics.binding import ring as _ring
from shmetrics.dictionary import Definition
from shmetrics.emitter.blocks import Block
from shmetrics.emitter.children import (
    NOTHING,
    CallsChild,
    CounterChild,
    Exceptions,
    GaugeChild,
    HistogramChild,
)
from shmetrics.emitter.family import Family, family_of

# oslo.metrics's bounds in seconds, and six below them for what a local call takes.
DEFAULT_BUCKETS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005),
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5),
    *(10.0, 25.0, 50.0, 75.0, 100.0),
)

Child = TypeVar("Child", CounterChild, GaugeChild, HistogramChild, CallsChild)


def full_name(name: str, namespace: str, subsystem: str, unit: str) -> str:
    """The parts joined as prometheus_client joins them, without a counter's `_total`."""
    joined = "_".join(part for part in (*texts_of((namespace, subsystem)), name) if part)
    if unit and not joined.endswith("_" + unit):
        joined += "_" + unit
    return joined


def text_of(value: object) -> str:
    """What the value says; what says nothing is empty, and the collector refuses it in words."""
    try:
        return str.__str__(str(value))  # and no class of texts that are looked up in their own way
    except Exception:
        return ""


def texts_of(values: Iterable[object]) -> tuple[str, ...]:
    """What each of the values says, or one empty text if they are not even several."""
    try:
        return tuple(map(text_of, values))
    except Exception:
        return ("",)


def finite_bounds(buckets: Iterable[float | str]) -> tuple[float, ...]:
    """The bounds without infinity, which every histogram has anyway.

    What is no number becomes a bound that the collector refuses, in words.
    """
    try:
        bounds = tuple(map(float, buckets))
    except Exception:
        bounds = (math.nan,)
    return tuple([bound for bound in bounds if bound != math.inf])


class Instrument(Generic[Child]):
    """A family: name, documentation, label names; labels() gives the child that records.

    One that is made again with the same name and shape is of the same family, and shares its
    children.
    """

    _type = _ring.TYPE_NONE
    _recording: tuple[str, ...] = ()

    def __init__(
        self,
        name: str,
        documentation: str,
        labelnames: Sequence[str] = (),
        *,
        unit: str = "",
        mode: str = "",
        buckets: Iterable[float | str] = (),
    ) -> None:
        definition = Definition(
            self._type,
            name,
            text_of(documentation),
            unit,
            mode,
            texts_of(labelnames),
            finite_bounds(buckets),
        )
        self._family: Family[Child] = family_of(definition, self._make)
        self.definition: Definition = self._family.definition
        self._label_names = self.definition.label_names
        if not self._label_names:
            # The instrument is its own only child: its methods are the compiled ones.
            child = self.labels()
            for method in self._recording:
                setattr(self, method, getattr(child, method))

    @staticmethod
    def _make(family: Family[Child], payload: bytes | None) -> Child:
        raise NotImplementedError

    def labels(self, *labelvalues: object, **labelkwargs: object) -> Child:
        """The child with these label values, by position or by name. It is made once and kept.

        Where the family has had too many of them, or these are too long, it is one for all that are
        too many: what it records counts, but under the label values `__overflow__`.
        """
        try:
            if labelkwargs:
                if labelvalues or len(labelkwargs) != len(self._label_names):
                    return self.wrong_labels()
                labelvalues = tuple(map(labelkwargs.__getitem__, self._label_names))
            return self.child(labelvalues)
        except MemoryError:
            return self.wrong_labels(_ring.DROP_NO_MEMORY)
        except Exception:  # a name that is not ours, a value whose __str__ fails
            return self.wrong_labels()

    def child(self, values: tuple[object, ...], none: str = "None") -> Child:
        """What labels() does with them, none being what None says; and what fails is raised."""
        key = _ring.texts(values, none)
        child = self._family.children.get(key)
        if child is not None:
            return child
        if len(key) != len(self._label_names):
            return self.wrong_labels()
        return self._family.new_child(key)

    def wrong_labels(self, cause: int = _ring.DROP_BAD_LABELS) -> Child:
        """Counts that there is no child; what is returned takes everything and keeps nothing."""
        _ring.process_count_drop(cause)
        return cast(Child, NOTHING)

    def _only(self) -> Child:
        """The child of a family without labels; a family with labels has no such thing."""
        return self.wrong_labels() if self._label_names else self.labels()


class Counter(Instrument[CounterChild]):
    """Counts events; only goes up. Shown as `<name>_total`."""

    _type = _ring.TYPE_COUNTER
    _recording = ("inc", "count_exceptions")

    def __init__(
        self,
        name: str,
        documentation: str,
        labelnames: Sequence[str] = (),
        namespace: str = "",
        subsystem: str = "",
        unit: str = "",
        registry: object = None,
    ) -> None:
        name, unit = text_of(name).removesuffix("_total"), text_of(unit)
        base = full_name(name, namespace, subsystem, unit)
        super().__init__(base, documentation, labelnames, unit=unit)

    @staticmethod
    def _make(family: Family[CounterChild], payload: bytes | None) -> CounterChild:
        return CounterChild(family.ring, payload)

    def inc(self, amount: float = 1, exemplar: dict[str, str] | None = None) -> None:
        """Adds amount, which must not be negative.

        exemplar: the trace that this event belongs to, {"trace_id": ..., "span_id": ...}: 32
        hexadecimal digits, or a UUID, and 16 of them; the span may be left out.
        """
        self._only().inc(amount, exemplar)

    def count_exceptions(self, exception: Exceptions = Exception) -> Block:
        """Counts the exceptions of this class that leave the block.

        Cancellation, and the closing of a generator before its end, are no Exception: they count
        where their class, or BaseException, is named.
        """
        return self._only().count_exceptions(exception)


class Gauge(Instrument[GaugeChild]):
    """A value that goes up and down, per process.

    multiprocess_mode says how the processes of a node are shown together: all (one series each,
    with a `pid` label), sum, min, max, mostrecent; with `live` before it, processes that are gone
    do not count.
    """

    _type = _ring.TYPE_GAUGE
    _recording = ("inc", "dec", "set", "set_to_current_time", "track_inprogress", "time")

    def __init__(
        self,
        name: str,
        documentation: str,
        labelnames: Sequence[str] = (),
        namespace: str = "",
        subsystem: str = "",
        unit: str = "",
        registry: object = None,
        _labelvalues: object = None,
        multiprocess_mode: str = "all",
    ) -> None:
        unit, mode = text_of(unit), text_of(multiprocess_mode)
        super().__init__(
            full_name(text_of(name), namespace, subsystem, unit),
            documentation,
            labelnames,
            unit=unit,
            mode=mode,
        )

    @staticmethod
    def _make(family: Family[GaugeChild], payload: bytes | None) -> GaugeChild:
        return GaugeChild(family.ring, payload, family.definition.mode.endswith("mostrecent"))

    def set(self, value: float) -> None:
        """The gauge is value."""
        self._only().set(value)

    def inc(self, amount: float = 1) -> None:
        """Adds amount."""
        self._only().inc(amount)

    def dec(self, amount: float = 1) -> None:
        """Takes amount away."""
        self._only().dec(amount)

    def set_to_current_time(self) -> None:
        """Unix time, in seconds."""
        self._only().set_to_current_time()

    def track_inprogress(self) -> Block:
        """One more while the block runs."""
        return self._only().track_inprogress()

    def time(self) -> Block:
        """The seconds that the block took last."""
        return self._only().time()


class Histogram(Instrument[HistogramChild]):
    """Counts observed values in buckets, and adds them up."""

    _type = _ring.TYPE_HISTOGRAM
    _recording = ("observe", "time")

    def __init__(
        self,
        name: str,
        documentation: str,
        labelnames: Sequence[str] = (),
        namespace: str = "",
        subsystem: str = "",
        unit: str = "",
        registry: object = None,
        _labelvalues: object = None,
        buckets: Iterable[float | str] = DEFAULT_BUCKETS,
    ) -> None:
        unit = text_of(unit)
        super().__init__(
            full_name(text_of(name), namespace, subsystem, unit),
            documentation,
            labelnames,
            unit=unit,
            buckets=buckets,
        )

    @staticmethod
    def _make(family: Family[HistogramChild], payload: bytes | None) -> HistogramChild:
        return HistogramChild(family.ring, payload)

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        """Takes one value. exemplar: as of Counter.inc()."""
        self._only().observe(amount, exemplar)

    def time(self) -> Block:
        """Observes the seconds that the block takes."""
        return self._only().time()


class Calls(Instrument[CallsChild]):
    """Calls with a start, an end, a duration and perhaps an exception.

    The collector derives four families from one of these: `<prefix>_invocation_start_total`,
    `<prefix>_invocation_end_total`, `<prefix>_processing_seconds` and `<prefix>_exception_total`
    (the same labels, and `exception`), and knows which calls are open.
    """

    _type = _ring.TYPE_CALLS

    def __init__(
        self,
        prefix: str,
        documentation: str,
        labelnames: Sequence[str] = (),
        buckets: Iterable[float | str] = DEFAULT_BUCKETS,
    ) -> None:
        super().__init__(text_of(prefix), documentation, labelnames, buckets=buckets)

    @staticmethod
    def _make(family: Family[CallsChild], payload: bytes | None) -> CallsChild:
        return CallsChild(family.ring, payload, lambda name: family.room.payload((name,)))

    def __call__(self) -> Any:
        """A context manager around one call of a family without labels."""
        return self._only()()
