# SPDX-License-Identifier: Apache-2.0
"""What an emitter uses of the compiled part, doing nothing: for interpreters without one."""

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
    """Nothing; and so do the functions below. A record never asks for attention here."""


process_attach = process_detach = process_count_drop = process_init
ask = answer = wait_readable = process_init


def process_epoch() -> int:
    return 0


def process_attend_soon() -> None:
    pass


def process_status() -> dict[str, Any]:
    return {"state": "none", "disabled": True, "closed": False, "attention_errors": 0}


def texts(values: tuple[object, ...], none: str) -> tuple[str, ...]:
    return ()


class Family:
    """Takes what its namesake in the binding takes, as do the classes below."""

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
    """A call that leaves no trace."""

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
