# SPDX-License-Identifier: Apache-2.0
"""Failures of sources of spans: counted, logged once a minute, never raised.

A failure on the way from a service to its span is caught where it happens, and reported here.
Traces that others send and that are refused are not failures, and are counted apart.
"""

import functools
import logging
from typing import Any

from shmetrics.rate_limited_log import RateLimitedLog

__all__ = ["failed", "refused"]

_RATE_LIMITED = RateLimitedLog(logging.getLogger(__name__))


def failed(source: str, error: BaseException) -> None:
    """Count and log a failure. Never raises.

    The counter is ``osprofiler_source_failures_total``; the log has at most one line a minute for
    each source and class of errors.

    Args:
        source: the source of spans that failed.
        error: the cause.
    """
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
    """Count a trace that *source* received and refused. Never raises.

    The counter is ``osprofiler_source_refused_total``.
    """
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
