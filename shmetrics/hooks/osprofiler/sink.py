# SPDX-License-Identifier: Apache-2.0
"""The receiver of spans of the compiled profiler, chosen by OSProfiler's notifier."""

from __future__ import annotations

from collections.abc import Callable

from osprofiler import notifier as theirs

from shmetrics.emitter.spans import Spans
from shmetrics.hooks.osprofiler.driver import Shm

_NOBODY = theirs._noop_notifier


def sink_of(notifier: Callable[..., None]) -> tuple[Spans | None, bool]:
    """Return the receiver of spans for a notifier.

    Args:
        notifier: the notifier that OSProfiler was given.

    Returns:
        The Spans of our own driver, if that is the notifier: its spans go straight into the lane.
        None for any other, which gets OSProfiler's dictionaries. The second value tells whether
        the notifier does nothing, so that no dictionary has to be made.
    """
    driver = getattr(notifier, "__self__", None)
    if isinstance(driver, Shm) and notifier == driver.notify:
        return driver.spans, False
    return None, notifier is _NOBODY
