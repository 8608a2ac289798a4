# SPDX-License-Identifier: Apache-2.0
"""Record into one series: the compiled methods, and the blocks around them."""

from __future__ import annotations

import time
from typing import Any

from shmetrics.binding import layout
from shmetrics.binding import ring as _ring
from shmetrics.emitter.blocks import Block, timer

Exceptions = type[BaseException] | tuple[type[BaseException], ...]


class CounterChild(_ring.CounterSeries):
    """Count events with one set of label values."""

    __slots__ = ()

    def count_exceptions(self, exception: Exceptions = Exception) -> Block:
        """Count the exceptions of this class that leave a block; also a decorator."""

        def leave(_: None, kind: type[BaseException] | None) -> None:
            try:
                if kind is not None and issubclass(kind, exception):
                    self.inc()
            except Exception:  # no class of exceptions; the block's own exception is what counts
                _ring.process_count_drop(layout.DROP_BAD_VALUE)

        return Block(lambda: None, leave)


class GaugeChild(_ring.GaugeSeries):
    """Show a value with one set of label values."""

    __slots__ = ()

    def set_to_current_time(self) -> None:
        """Set the gauge to the Unix time, in seconds."""
        self.set(time.time())

    def track_inprogress(self) -> Block:
        """Add one while a block runs; also a decorator."""
        return Block(self.inc, lambda _, kind: self.dec())

    def time(self) -> Block:
        """Set the gauge to the seconds that a block took; also a decorator."""
        return timer(self.set)


class HistogramChild(_ring.HistogramSeries):
    """Observe values with one set of label values."""

    __slots__ = ()

    def time(self) -> Block:
        """Observe the seconds that a block takes; also a decorator."""
        return timer(self.observe)


class CallsChild(_ring.CallSeries):
    """Measure calls with one set of label values: `with call(): ...`, or start() and end().

    For a call that belongs to a trace use `with call.traced(exemplar): ...`, or start(exemplar).
    `Counter.inc()` describes exemplars.
    """

    __slots__ = ()


class NullChild:
    """A child that records nothing, for labels that were wrong. It accepts every argument."""

    def inc(self, *_: object, **__: object) -> None:
        """Do nothing."""

    dec = set = observe = set_to_current_time = end = inc

    def count_exceptions(self, *_: object, **__: object) -> Block:
        return Block(lambda: None, lambda state, kind: None)

    track_inprogress = time = __call__ = traced = count_exceptions

    def start(self, *_: object, **__: object) -> Any:
        """Return a token that means nothing."""
        return None


NULL_CHILD = NullChild()
