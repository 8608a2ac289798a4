# SPDX-License-Identifier: Apache-2.0
"""The children of instruments: compiled recording methods, and the blocks around them.

A child is one series, an instrument with the values of its labels.
"""

from __future__ import annotations

import time
from typing import Any

from shmetrics.binding import layout
from shmetrics.binding import ring as _ring
from shmetrics.emitter.blocks import Block, timer

Exceptions = type[BaseException] | tuple[type[BaseException], ...]


class CounterChild(_ring.CounterSeries):
    """One series of a counter."""

    __slots__ = ()

    def count_exceptions(self, exception: Exceptions = Exception) -> Block:
        """Return a block that counts the exceptions of this class, or classes, that leave it."""

        def leave(_: None, kind: type[BaseException] | None) -> None:
            try:
                if kind is not None and issubclass(kind, exception):
                    self.inc()
            except Exception:  # no class of exceptions; the block's own exception is what counts
                _ring.process_count_drop(layout.DROP_BAD_VALUE)

        return Block(lambda: None, leave)


class GaugeChild(_ring.GaugeSeries):
    """One series of a gauge."""

    __slots__ = ()

    def set_to_current_time(self) -> None:
        """Set the gauge to Unix time, in seconds."""
        self.set(time.time())

    def track_inprogress(self) -> Block:
        """Return a block that adds 1 to the gauge while it runs."""
        return Block(self.inc, lambda _, kind: self.dec())

    def time(self) -> Block:
        """Return a block that sets the gauge to its duration, in seconds."""
        return timer(self.set)


class HistogramChild(_ring.HistogramSeries):
    """One series of a histogram."""

    __slots__ = ()

    def time(self) -> Block:
        """Return a block that observes its duration, in seconds."""
        return timer(self.observe)


class CallsChild(_ring.CallSeries):
    """One series of calls: `with call(): ...`, or start() and end().

    For a call of a trace, use `with call.traced(exemplar): ...`, or start(exemplar). The exemplar
    has the form that Counter.inc() takes.
    """

    __slots__ = ()


class Nothing:
    """A child that records nothing, for labels that were wrong. It accepts every argument."""

    def inc(self, *_: object, **__: object) -> None:
        """Do nothing."""

    dec = set = observe = set_to_current_time = end = inc

    def count_exceptions(self, *_: object, **__: object) -> Block:
        return Block(lambda: None, lambda state, kind: None)

    track_inprogress = time = __call__ = traced = count_exceptions

    def start(self, *_: object, **__: object) -> Any:
        """Return a token for end(), which does nothing with it."""
        return None


NOTHING = Nothing()
