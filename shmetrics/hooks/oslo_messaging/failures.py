# SPDX-License-Identifier: Apache-2.0
"""Failures of this hook: counted by cause, logged once per cause, never raised.

This package catches every failure on the way from a driver's call to a record, and reports it here.
The family ``oslo_messaging_hook_failures_total{cause}`` counts them as far as the emitter works;
`count` has them for code in the process.
"""

import functools
import logging
from collections import Counter
from typing import Any

__all__ = ["count", "failed"]

_LOG = logging.getLogger(__name__)

#: Failures so far in this process, by cause (the exception's class name).
count: Counter[str] = Counter()


def failed(error: BaseException) -> None:
    """Count *error*, and log it if it is the first of its class. Never raises."""
    cause = type(error).__name__
    count[cause] += 1
    try:
        if count[cause] == 1:
            _LOG.warning("shmetrics does not measure some messages of this process: %r", error)
        _family().labels(cause).inc()
    except Exception:
        return  # the emitter is what failed; `count` has it


@functools.cache
def _family() -> Any:
    from shmetrics import Counter

    # Names that begin with shmetrics_ are the collector's own.
    return Counter("oslo_messaging_hook_failures", "What the hook could not record", ["cause"])
