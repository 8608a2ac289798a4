# SPDX-License-Identifier: Apache-2.0
"""Where spans go: what the compiled profiler makes of the notifier that OSProfiler was given."""

from __future__ import annotations

from collections.abc import Callable

from osprofiler import notifier as theirs

from shmetrics.emitter.spans import Spans
from shmetrics.hooks.osprofiler.driver import Shm

_NOBODY = theirs._noop_notifier


def sink_of(notifier: Callable[..., None]) -> tuple[Spans | None, bool]:
    """The spans of our own driver, if that is the notifier: they go straight into the lane. Any
    other is given OSProfiler's dictionaries; and whether it is the one that does nothing, for which
    none has to be made."""
    driver = getattr(notifier, "__self__", None)
    if isinstance(driver, Shm) and notifier == driver.notify:
        return driver.spans, False
    return None, notifier is _NOBODY
