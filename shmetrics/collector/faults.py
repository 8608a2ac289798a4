# SPDX-License-Identifier: Apache-2.0
"""The log of exceptions in the event loop that no code has caught."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from shmetrics.rate_limited_log import RateLimitedLog

log = logging.getLogger(__name__)


class Faults:
    """The log of exceptions that no code has caught, each kind at most once a minute.

    A client may be able to repeat one without end, and the event loop itself would log a traceback
    for each.
    """

    def __init__(self, rate_limited: RateLimitedLog) -> None:
        """Log through a log with a rate limit."""
        self._rate_limited = rate_limited

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log an exception, as an asyncio exception handler."""
        error, message = context.get("exception"), context["message"]
        kind = type(error).__name__
        self._rate_limited.warning(
            (message, kind), f"{message}: {kind}: {error}" if error else message
        )
        log.debug("%s", message, exc_info=error)
