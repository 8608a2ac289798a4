# SPDX-License-Identifier: Apache-2.0
"""A stub of the compiled part for emitters, for interpreters in which that does not work.

It has the functions and classes of `_ring` that an emitter uses. They do nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

Thing = TypeVar("Thing")

# In place of the layout, where that cannot be loaded either.
LAYOUT_VERSION = ENTRY_MAX_BYTES = LANE_MAX_BYTES = CELL_BYTES = 0
OVERFLOW_VALUE = ""
DROP_BAD_VALUE = DROP_BAD_LABELS = DROP_BAD_EXEMPLAR = DROP_NO_MEMORY = 0
DROP_LANE_FULL = DROP_OVERSIZED = DROP_FOREIGN_CALL = DROP_UNTRACKED_CALL = CAUSE_OVERFLOW = 0
TYPE_NONE, TYPE_COUNTER, TYPE_GAUGE, TYPE_HISTOGRAM, TYPE_CALLS, TYPE_SPANS = range(6)
TYPE_OBSERVED = 7

families: dict[object, Any] = {}
newest: dict[object, Any] = {}


def process_init(*_: object) -> None:
    """Do nothing, like all functions of this module. attention is never called."""


process_attach = process_detach = process_count_drop = process_settle = process_init
ask = answer = wait_readable = rules_changed = decorate_by = remove_series = process_init
refuse_labels_by = declare = declare_all = add_labels = process_init


def process_epoch() -> int:
    return 0


rules_number = process_epoch


def process_attend_soon() -> None:
    pass


def process_notices() -> bytes:
    return b""


def process_wanted() -> tuple[int, int, int]:
    return 0, 0, 0


def process_status() -> dict[str, Any]:
    return {
        "state": "none",
        "disabled": True,
        "closed": False,
        "waits": False,
        "attention_errors": 0,
    }


def exceptions_of(series: Series) -> tuple[str, ...]:
    return ()


def texts(values: tuple[object, ...], none: str) -> tuple[str, ...]:
    return ()


class Family:
    """A family that accepts the arguments of `_ring.Family`; the other classes do likewise."""

    def __init__(self, *_: object) -> None: ...

    def causes(self) -> int:
        return 0

    def forget_cause(self, cause: int) -> None: ...

    def retire(self, retired: bool) -> None: ...


class Block:
    """A block around what is not measured, and a decorator that changes nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def __call__(self, function: Thing) -> Thing:
        return function

    def labels(self, *_: object, **__: object) -> None: ...


OpenCall = Block
no_block = Block()


class Children:
    """No children."""

    def get(self, values: tuple[str, ...]) -> None: ...

    pop = get

    def setdefault(self, values: tuple[str, ...], child: Thing) -> Thing:
        return child

    def put_ruled(self, *_: object) -> None: ...

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        return iter(())


class Labelled:
    """The base of instruments, whose labels() goes their long way."""

    def __class_getitem__(cls, child: object) -> type[Labelled]:
        return cls

    def __init__(self, *_: object) -> None: ...

    def _find(self, values: tuple[object, ...], by_name: dict[str, object]) -> Any:
        raise NotImplementedError

    def labels(self, *labelvalues: object, **labelkwargs: object) -> Any:
        return self._find(labelvalues, labelkwargs)


class Series:
    __slots__ = ()

    def __init__(self, *_: object) -> None: ...

    def inc(self, *_: object, **__: object) -> None: ...

    def time(self, *_: object, **__: object) -> Block:
        return no_block


class CounterSeries(Series):
    __slots__ = ()
    count_exceptions = Series.time


class GaugeSeries(Series):
    __slots__ = ()
    dec = set = set_to_current_time = Series.inc
    track_inprogress = Series.time


class HistogramSeries(Series):
    __slots__ = ()
    observe = Series.inc


class ObservedSeries(Series):
    __slots__ = ()
    set_total = new_generation = Series.inc


class ObservedArray(Series):
    __slots__ = ()
    set_totals = new_generation = Series.inc

    def __len__(self) -> int:
        return 0


class CallSeries(Series):
    __slots__ = ()
    end = Series.inc
    __call__ = traced = start = Series.time


class SpanSeries(Series):
    __slots__ = ()
    start = stop = Series.inc
