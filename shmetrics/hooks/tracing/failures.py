# SPDX-License-Identifier: Apache-2.0
"""What goes wrong in a source of spans: counted, said seldom, never raised.

Whatever fails between a service and a span of its is caught where it happens and ends here. What
others send us and we do not take is no failure of ours, and is counted apart.
"""

import functools
import logging
from typing import Any

from shmetrics.rate_limited_log import RateLimitedLog

__all__ = ["failed", "refused"]

_RATE_LIMITED = RateLimitedLog(logging.getLogger(__name__))


def failed(source: str, error: BaseException) -> None:
    """Count that *source* could not do its work, in ``osprofiler_source_failures_total``; log it
    once a minute. Never raises."""
    try:
        _counter("failures", "What a source of spans could not do", "cause").labels(
            source, type(error).__name__
        ).inc()
        _RATE_LIMITED.warning(
            (source, type(error)), f"shmetrics: {source} makes no span: {error!r}"
        )
    except Exception:
        return  # the emitter is what failed


def refused(source: str, reason: str) -> None:
    """Count a trace that came to *source* and was not taken, in
    ``osprofiler_source_refused_total``. Never raises."""
    try:
        _counter("refused", "Traces that came and were not taken", "reason").labels(
            source, reason
        ).inc()
    except Exception:
        return


@functools.cache
def _counter(what: str, text: str, why: str) -> Any:
    from shmetrics import Counter

    return Counter(f"osprofiler_source_{what}", text, ["source", why])
