# SPDX-License-Identifier: Apache-2.0
"""The receiver of spans of the compiled profiler, chosen by OSProfiler's notifier."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from osprofiler import notifier as theirs

from shmetrics.emitter.spans import Spans
from shmetrics.hooks.osprofiler.driver import Shm
from shmetrics.hooks.osprofiler.values import WantedValues

__all__ = ["Sink", "sink_of"]

_NOBODY = theirs._noop_notifier


class Sink(NamedTuple):
    """The receiver of spans.

    Attributes:
        spans: the Spans of our own driver, if that is the notifier: its spans go straight into the
            lane. None for any other notifier, which gets OSProfiler's dictionaries.
        wanted: the values that our own driver keeps; None: all.
        is_deaf: whether the notifier does nothing, so that no dictionary has to be made.
    """

    spans: Spans | None
    wanted: WantedValues | None
    is_deaf: bool


def sink_of(notifier: Callable[..., None]) -> Sink:
    """Return the receiver of spans for the notifier that OSProfiler was given."""
    driver = getattr(notifier, "__self__", None)
    if isinstance(driver, Shm) and notifier == driver.notify:
        return Sink(driver.spans, driver.wanted, False)
    return Sink(None, None, notifier is _NOBODY)
