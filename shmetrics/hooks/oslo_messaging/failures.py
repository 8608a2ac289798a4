# SPDX-License-Identifier: Apache-2.0
"""What this hook could not record: counted by cause, said once, never raised.

Whatever goes wrong on the way from a driver's call to a record is caught by this package and ends
here. The count is the family ``shmetrics_hook_failures_total{hook,cause}``, as far as the emitter
still works, and `count` for those who look from inside.
"""

import logging
from collections import Counter

__all__ = ["count", "failed"]

_LOG = logging.getLogger(__name__)

#: Failures so far in this process, by cause (the exception's class name).
count: Counter[str] = Counter()


def failed(error: BaseException) -> None:
    """Count *error*; log it if it is the first of its cause. Never raises."""
    cause = type(error).__name__
    count[cause] += 1
    try:
        if count[cause] == 1:
            _LOG.warning("shmetrics does not measure some messages of this process: %r", error)
        from shmetrics import Counter as Instrument

        family = Instrument(
            "shmetrics_hook_failures_total",
            "What a hook could not record",
            ["hook", "cause"],
        )
        family.labels("oslo_messaging", cause).inc()
    except Exception:
        return  # the emitter is what failed; `count` has it
