# SPDX-License-Identifier: Apache-2.0
"""One series of an instrument: the compiled recording methods, and the blocks around them."""

from __future__ import annotations

import time
from typing import Any

from shmetrics.binding import ring as _ring
from shmetrics.emitter.blocks import Block, timer

Exceptions = type[BaseException] | tuple[type[BaseException], ...]


class CounterChild(_ring.CounterSeries):
    """A counter with its labels."""

    __slots__ = ()

    def count_exceptions(self, exception: Exceptions = Exception) -> Block:
        """Counts the exceptions of this class that leave the block."""

        def leave(_: None, kind: type[BaseException] | None) -> None:
            try:
                if kind is not None and issubclass(kind, exception):
                    self.inc()
            except Exception:  # no class of exceptions; the block's own exception is what counts
                _ring.process_count_drop(_ring.DROP_BAD_VALUE)

        return Block(lambda: None, leave)


class GaugeChild(_ring.GaugeSeries):
    """A gauge with its labels."""

    __slots__ = ()

    def set_to_current_time(self) -> None:
        """Unix time, in seconds."""
        self.set(time.time())

    def track_inprogress(self) -> Block:
        """One more while the block runs."""
        return Block(self.inc, lambda _, kind: self.dec())

    def time(self) -> Block:
        """The seconds that the block took last."""
        return timer(self.set)


class HistogramChild(_ring.HistogramSeries):
    """A histogram with its labels."""

    __slots__ = ()

    def time(self) -> Block:
        """Observes the seconds that the block takes."""
        return timer(self.observe)


class CallsChild(_ring.CallSeries):
    """Calls with one set of labels: `with call(): ...`, or start() and end().

    One that belongs to a trace: `with call.traced(exemplar): ...`, or start(exemplar). An exemplar
    is what Counter.inc() takes.
    """

    __slots__ = ()


class Nothing:
    """Stands in for a child whose labels were wrong: it takes everything and keeps nothing."""

    def inc(self, *_: object, **__: object) -> None:
        """Nothing."""

    dec = set = observe = set_to_current_time = end = inc

    def count_exceptions(self, *_: object, **__: object) -> Block:
        return Block(lambda: None, lambda state, kind: None)

    track_inprogress = time = __call__ = traced = count_exceptions

    def start(self, *_: object, **__: object) -> Any:
        """A token that means nothing."""
        return None


NOTHING = Nothing()
