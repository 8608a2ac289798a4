# SPDX-License-Identifier: Apache-2.0
"""Define the instruments: Counter, ObservedCounter, Gauge, Histogram and Calls.

Each has a child per label values. Counter, Gauge and Histogram have the shape of
prometheus_client's classes, with one difference: they raise nothing into the service. Wrong labels
and values are counted, and `status()` shows the counts. The collector refuses, and counts, a family
that contradicts another process's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar, cast

from shmetrics.binding import layout
from shmetrics.binding import ring as _ring
from shmetrics.dictionary import DEFAULT_BUCKETS, Definition
from shmetrics.emitter import strict
from shmetrics.emitter.arguments import finite_bounds, full_name, name_of, names_of, text_of
from shmetrics.emitter.family import Family, family_of
from shmetrics.emitter.null_child import NULL_CHILD, NullChild
from shmetrics.emitter.problems import problems
from shmetrics.emitter.unlabelled_timer import UnlabelledTimer
from shmetrics.notices import Notice

Child = TypeVar(
    "Child",
    _ring.CounterSeries,
    _ring.ObservedSeries,
    _ring.GaugeSeries,
    _ring.HistogramSeries,
    _ring.CallSeries,
)
Exceptions = type[BaseException] | tuple[type[BaseException], ...]


def _has(key: tuple[str, ...], wanted: dict[int, str]) -> bool:
    """Return whether label values have the wanted texts at their places.

    A loop: where there is no memory for a generator, CPython 3.12 crashes.
    """
    for at, text in wanted.items():  # noqa: SIM110
        if key[at] != text:
            return False
    return True


_ANY_LABELS: dict[str, str] = {}


class Instrument(_ring.Labelled[Child], Generic[Child]):
    """Hold a family: its name, documentation and label names.

    `labels()` returns the child that records. An instrument that is made again with the same name
    and shape belongs to the same family, and shares its children.
    """

    _type = layout.TYPE_NONE
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
            names_of(labelnames),
            finite_bounds(buckets),
        )
        if strict.IS_STRICT:
            strict.check(definition)
        self._family: Family[Child] = family_of(definition, self._make)
        self.definition: Definition = self._family.definition
        self._label_names = self.definition.label_names
        super().__init__(self._family.children, self._label_names, NULL_CHILD)
        if not self._label_names:
            # The instrument is its own only child: its methods are the compiled ones.
            child = self.labels()
            for method in self._recording:
                setattr(self, method, getattr(child, method))
            if strict.IS_STRICT:
                self.__dict__["labels"] = self._no_labels

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _ring.add_labels(cls)

    @staticmethod
    def _make(family: Family[Child], payload: bytes | None) -> Child:
        raise NotImplementedError

    def _find(self, values: tuple[object, ...], by_name: dict[str, object]) -> Child:
        """Return the child of label values as labels() was given them, the long way."""
        try:
            if by_name:
                if values or len(by_name) != len(self._label_names):
                    return self.wrong_labels()
                values = tuple(map(by_name.__getitem__, self._label_names))
            return self.child(values)
        except MemoryError:
            return self.wrong_labels(layout.DROP_NO_MEMORY)
        except Exception as error:  # a name that is not ours, a value whose __str__ fails
            return self.wrong_labels(error=error)

    def child(self, values: tuple[object, ...], none: str = "None") -> Child:
        """Return the child with these label values, as `labels()` does; raise what fails.

        Args:
            values: One value per label, in the order of the label names.
            none: The text of a value that is None.
        """
        key = _ring.texts(values, none)
        child = self._family.children.get(key)
        if child is not None:
            return child
        if len(key) != len(self._label_names):
            return self.wrong_labels()
        return self._family.new_child(key)

    def _no_labels(self, *_: object, **__: object) -> Child:
        """Raise in strict mode, in place of labels() of a family without labels."""
        raise ValueError(f"{self.definition.name} has no labels")

    def remove(self, *labelvalues: object) -> None:
        """Remove the child with these label values; if there is none, do nothing.

        Events that are recorded in a removed child are not kept. `labels()` makes a new one. A
        child in which a label rule puts several values together stays, until `clear()`.

        Args:
            *labelvalues: One value per label, in the order of the label names. Wrong ones are
                counted; `status()` shows them under `dropped`.
        """
        self._remove(Instrument._keys_of, labelvalues)

    def remove_by_labels(self, labels: dict[str, str]) -> None:
        """Remove the children that have these label values, whatever their other ones are.

        Args:
            labels: Values by the names of their labels. Wrong names are counted, as are wrong
                values in `remove()`.
        """
        self._remove(Instrument._keys_with, labels)

    def clear(self) -> None:
        """Remove all children of a family with labels."""
        self._remove(Instrument._keys_with, _ANY_LABELS)

    def _keys_of(self, values: tuple[object, ...]) -> list[tuple[str, ...]]:
        key = _ring.texts(values, "None")
        if not key or len(key) != len(self._label_names):
            raise ValueError("another number of labels")
        return [key]

    def _keys_with(self, labels: dict[str, str]) -> list[tuple[str, ...]]:
        texts = _ring.texts(tuple(labels.values()), "None")
        wanted = dict(zip(map(self._label_names.index, labels), texts, strict=True))
        return [key for key in self._family.children if key and _has(key, wanted)]

    def _remove(self, keys: Callable[[Any, Any], list[tuple[str, ...]]], of: object) -> None:
        """Remove the children of these label values; count what is wrong with them.

        It makes no object before the `try`: there may be no memory for one.
        """
        try:
            for key in keys(self, of):
                self._family.remove(key)
        except MemoryError:
            self.wrong_labels(layout.DROP_NO_MEMORY)
        except Exception as error:  # a name that is not ours, a value whose __str__ fails
            self.wrong_labels(error=error)

    def wrong_labels(
        self, cause: int = layout.DROP_BAD_LABELS, error: Exception | None = None
    ) -> Child:
        """Count a drop of this cause, and return a child that records nothing.

        In strict mode, raise for wrong labels.

        Args:
            cause: One of the layout's causes.
            error: What was raised, if it was something.
        """
        is_made = hasattr(self, "definition")  # or a class of the service forgot to
        if is_made and strict.IS_STRICT and cause == layout.DROP_BAD_LABELS:
            strict.wrong_labels(self.definition, error)
        _ring.process_count_drop(cause)
        if is_made and cause == layout.DROP_BAD_LABELS:
            names = ", ".join(self._label_names) or "none"
            problems.note(
                Notice(
                    self.definition.name,
                    "labels",
                    "dropped: wrong labels, or a value that is no text",
                    f"give one value for each of its labels: {names}",
                )
            )
        return cast(Child, NULL_CHILD)

    def _only(self) -> Child:
        """Return the child of a family without labels; count a drop if the family has labels."""
        return self.wrong_labels() if self._label_names else self.labels()

    def _time(self, method: str) -> _ring.Block:
        """Return a timer of a family with labels, which gets its label values in the block.

        Args:
            method: The name of the child's method that takes the seconds.
        """
        try:
            timer = UnlabelledTimer(self.labels, method, self.wrong_labels)
            return cast(_ring.Block, timer)  # it has the same methods
        except MemoryError:
            self.wrong_labels(layout.DROP_NO_MEMORY)
            return _ring.no_block


class Counter(Instrument[_ring.CounterSeries]):
    """Count events. A counter only goes up; Prometheus sees it as `<name>_total`.

    Args:
        name: The name, with or without `_total`.
        documentation: What it counts or shows, for people: the `# HELP` of its family.
        labelnames: The names of its labels. With labels, record through `labels()`.
        namespace: Put before the name, with an underscore between.
        subsystem: Put between the namespace and the name.
        unit: Put behind the name, unless the name ends with it.
        registry: Ignored; it is there so that code for prometheus_client runs as it is.
    """

    _type = layout.TYPE_COUNTER
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
        name, unit = name_of(name).removesuffix("_total"), text_of(unit)
        base = full_name(name, namespace, subsystem, unit)
        super().__init__(base, documentation, labelnames, unit=unit)

    @staticmethod
    def _make(family: Family[_ring.CounterSeries], payload: bytes | None) -> _ring.CounterSeries:
        return strict.checked(_ring.CounterSeries)(family.ring, payload)

    def inc(self, amount: float = 1, exemplar: dict[str, str] | None = None) -> None:
        """Add to the counter.

        Args:
            amount: How much, not negative. Any other value is dropped and counted.
            exemplar: The trace that this event belongs to: `{"trace_id": ..., "span_id": ...}`. A
                trace id has 32 hexadecimal digits or is a UUID; a span id has 16 digits, and may be
                left out.
        """
        self._only().inc(amount, exemplar)

    def count_exceptions(self, exception: Exceptions = Exception) -> _ring.Block:
        """Count the exceptions that leave a block; also a decorator.

        Args:
            exception: The class, or a tuple of classes, to count. A cancellation, and the closing
                of a generator before its end, are no `Exception`: to count them, name their class
                or `BaseException`.
        """
        return self._only().count_exceptions(exception)


class ObservedCounter(Instrument[_ring.ObservedSeries]):
    """Show a total that is kept elsewhere: by the kernel, or in a library's own statistics.

    Prometheus sees it as a counter, `<name>_total`. The process sets the total itself. A label set
    is shown once it has a total, and leaves with its process. Where several processes set the same
    labels, their sum is shown.

    Args:
        name: The name, with or without `_total`.
        documentation: What it counts or shows, for people: the `# HELP` of its family.
        labelnames: The names of its labels. With labels, record through `labels()`.
        namespace: Put before the name, with an underscore between.
        subsystem: Put between the namespace and the name.
        unit: Put behind the name, unless the name ends with it.
        registry: Ignored; it is there as in the other instruments.
    """

    _type = layout.TYPE_OBSERVED
    _recording = ("set_total", "new_generation")

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
        name, unit = name_of(name).removesuffix("_total"), text_of(unit)
        base = full_name(name, namespace, subsystem, unit)
        super().__init__(base, documentation, labelnames, unit=unit)

    @staticmethod
    def _make(family: Family[_ring.ObservedSeries], payload: bytes | None) -> _ring.ObservedSeries:
        return strict.checked(_ring.ObservedSeries)(family.ring, payload)

    def set_total(self, value: float) -> None:
        """Set the total.

        Args:
            value: The total, not negative, and not lower than before: a counter does not fall
                within a generation. Any other value is dropped and counted.
        """
        self._only().set_total(value)

    def new_generation(self, value: float = 0) -> None:
        """Begin a new generation: the counter was reset, and counts from now on.

        Without a generation, nobody knows since when the total counts, and no start is shown.

        Args:
            value: The total that it has by now, not negative.
        """
        self._only().new_generation(value)

    def array(self, labelvalues: Iterable[str | Sequence[object]]) -> _ring.ObservedArray:
        """Return an array of children whose totals are set with one call.

        `array.set_totals(values)` takes one value per child in a contiguous buffer of doubles, as a
        numpy array has; NaN leaves a total as it is. If the buffer has another length or type, it
        is counted, and nothing is set. `array.new_generation(index, value=0)` is for one child.

        Args:
            labelvalues: The label values of each child, in the order of the label names; a text is
                one value.
        """
        children: list[object] = []
        try:
            children += [
                self.labels(*((values,) if isinstance(values, str) else values))
                for values in labelvalues
            ]
        except Exception as error:  # what cannot be iterated
            children = [self.wrong_labels(error=error)]
        return _ring.ObservedArray(children)


class Gauge(Instrument[_ring.GaugeSeries]):
    """Show a value that goes up and down. Each process has its own.

    Args:
        name: The name.
        documentation: What it counts or shows, for people: the `# HELP` of its family.
        labelnames: The names of its labels. With labels, record through `labels()`.
        namespace: Put before the name, with an underscore between.
        subsystem: Put between the namespace and the name.
        unit: Put behind the name, unless the name ends with it.
        registry: Ignored; it is there so that code for prometheus_client runs as it is.
        multiprocess_mode: How the processes of a node are shown together: `all` (one series per
            process, with a `pid` label), `sum`, `min`, `max` or `mostrecent`. With `live` in front,
            as in `livesum`, processes that have ended do not count.
    """

    _type = layout.TYPE_GAUGE
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
            full_name(name_of(name), namespace, subsystem, unit),
            documentation,
            labelnames,
            unit=unit,
            mode=mode,
        )

    @staticmethod
    def _make(family: Family[_ring.GaugeSeries], payload: bytes | None) -> _ring.GaugeSeries:
        with_stamp = family.definition.mode.endswith("mostrecent")
        return strict.checked(_ring.GaugeSeries)(family.ring, payload, with_stamp)

    def set(self, value: float) -> None:
        """Set the gauge to *value*."""
        self._only().set(value)

    def inc(self, amount: float = 1) -> None:
        """Add *amount* to the gauge."""
        self._only().inc(amount)

    def dec(self, amount: float = 1) -> None:
        """Take *amount* from the gauge."""
        self._only().dec(amount)

    def set_to_current_time(self) -> None:
        """Set the gauge to the Unix time, in seconds."""
        self._only().set_to_current_time()

    def track_inprogress(self) -> _ring.Block:
        """Add one while a block runs; also a decorator."""
        return self._only().track_inprogress()

    def time(self) -> _ring.Block:
        """Set the gauge to the seconds that a block took; also a decorator.

        In a family with labels, the block has to give their values: `timer.labels(...)`.
        """
        return self._time("set")


class Histogram(Instrument[_ring.HistogramSeries]):
    """Count observed values in buckets, and add them up.

    Args:
        name: The name.
        documentation: What it counts or shows, for people: the `# HELP` of its family.
        labelnames: The names of its labels. With labels, record through `labels()`.
        namespace: Put before the name, with an underscore between.
        subsystem: Put between the namespace and the name.
        unit: Put behind the name, unless the name ends with it.
        registry: Ignored; it is there so that code for prometheus_client runs as it is.
        buckets: The upper bounds, rising; infinity is added. A native histogram is kept beside
            them, whatever they are.
    """

    DEFAULT_BUCKETS = (*DEFAULT_BUCKETS, math.inf)

    _type = layout.TYPE_HISTOGRAM
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
            full_name(name_of(name), namespace, subsystem, unit),
            documentation,
            labelnames,
            unit=unit,
            buckets=buckets,
        )

    @staticmethod
    def _make(
        family: Family[_ring.HistogramSeries], payload: bytes | None
    ) -> _ring.HistogramSeries:
        return strict.checked(_ring.HistogramSeries)(family.ring, payload)

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        """Count one value in its bucket.

        Args:
            amount: The value, finite. Any other is dropped and counted.
            exemplar: The trace that this event belongs to, as in `Counter.inc()`.
        """
        self._only().observe(amount, exemplar)

    def time(self) -> _ring.Block:
        """Observe the seconds that a block takes; also a decorator.

        In a family with labels, the block has to give their values: `timer.labels(...)`.
        """
        return self._time("observe")


class Calls(Instrument[_ring.CallSeries]):
    """Measure calls: each has a start, an end, a duration and perhaps an exception.

    The collector derives four families from one of these, and knows which calls are open:

    - `<prefix>_invocation_start_total` and `<prefix>_invocation_end_total`,
    - `<prefix>_processing_seconds`, a histogram,
    - `<prefix>_exception_total`, with one label more, `exception`.

    A child records with `with call(): ...`, or with `token = call.start()` and `call.end(token)`.
    A call that belongs to a trace: `with call.traced(exemplar): ...`, or `call.start(exemplar)`,
    with an exemplar as in `Counter.inc()`. `@call()` makes each run of a function a call.

    Args:
        prefix: What the names of the four families begin with.
        documentation: What it counts or shows, for people: the `# HELP` of its family.
        labelnames: The names of its labels. With labels, record through `labels()`.
        buckets: The upper bounds of the durations' buckets, in seconds.
    """

    _type = layout.TYPE_CALLS

    def __init__(
        self,
        prefix: str,
        documentation: str,
        labelnames: Sequence[str] = (),
        buckets: Iterable[float | str] = DEFAULT_BUCKETS,
    ) -> None:
        super().__init__(name_of(prefix), documentation, labelnames, buckets=buckets)

    @staticmethod
    def _make(family: Family[_ring.CallSeries], payload: bytes | None) -> _ring.CallSeries:
        budget = family.budget  # not the family itself: that would be a cycle
        return _ring.CallSeries(family.ring, payload, lambda name: budget.payload((name,)))

    def __call__(self) -> Any:
        """Return a context manager around one call of a family without labels."""
        return self._only()()


def calls_of(definition: Definition) -> Calls:
    """Return the instrument of a definition of calls."""
    return Calls(definition.name, definition.help, definition.label_names, definition.bounds)


def _refuse_labels(of: _ring.Family | None) -> NullChild:
    """Count label values for a child or a timer that cannot take them: a drop, as wrong ones.

    Args:
        of: The family of the child or timer, if it has one.
    """
    if strict.IS_STRICT:
        raise ValueError("it has its label values already, or its metric has no labels")
    _ring.process_count_drop(layout.DROP_BAD_LABELS)
    for family in list(_ring.families.values()):
        if family.ring is of:
            problems.note(
                Notice(
                    family.definition.name,
                    "child labels",
                    "dropped: label values for a child or a timer that has its own",
                    "call labels() of the metric, once, with all its values",
                )
            )
    return NULL_CHILD


_ring.refuse_labels_by(_refuse_labels)
