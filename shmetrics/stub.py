# SPDX-License-Identifier: Apache-2.0
"""A stub of the compiled part for emitters, for interpreters in which that does not work.

It has the functions and classes of `_ring` that an emitter uses. They do nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

# In place of the layout, where that cannot be loaded either.
LAYOUT_VERSION = ENTRY_MAX_BYTES = 0
OVERFLOW_VALUE = ""
DROP_BAD_VALUE = DROP_BAD_LABELS = DROP_NO_MEMORY = 0
TYPE_NONE, TYPE_COUNTER, TYPE_GAUGE, TYPE_HISTOGRAM, TYPE_CALLS, TYPE_SPANS = range(6)

families: dict[object, Any] = {}


def process_init(*_: object) -> None:
    """Do nothing, like all functions of this module. attention is never called."""


process_attach = process_detach = process_count_drop = process_settle = process_init
ask = answer = wait_readable = process_init


def process_epoch() -> int:
    return 0


def process_attend_soon() -> None:
    pass


def process_wanted() -> tuple[int, int, int]:
    return 0, 0, 0


def process_status() -> dict[str, Any]:
    return {"state": "none", "disabled": True, "closed": False, "attention_errors": 0}


def texts(values: tuple[object, ...], none: str) -> tuple[str, ...]:
    return ()


class Family:
    """A family that accepts the arguments of `_ring.Family`; the other classes do likewise."""

    def __init__(self, *_: object) -> None: ...


class Series:
    __slots__ = ()

    def __init__(self, *_: object) -> None: ...

    def inc(self, *_: object, **__: object) -> None: ...


class CounterSeries(Series):
    __slots__ = ()


class GaugeSeries(Series):
    __slots__ = ()
    dec = set = Series.inc


class HistogramSeries(Series):
    __slots__ = ()
    observe = Series.inc


class OpenCall:
    """A call that records nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


class CallSeries(Series):
    __slots__ = ()
    end = Series.inc

    def start(self, *_: object, **__: object) -> OpenCall:
        return OpenCall()

    __call__ = traced = start


class SpanSeries(Series):
    __slots__ = ()
    start = stop = Series.inc
