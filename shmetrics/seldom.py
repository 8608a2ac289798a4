# SPDX-License-Identifier: Apache-2.0
"""A log that a flood of one thing cannot fill."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable

PAUSE_SECONDS = 60.0
MAX_KINDS = 1000


class Seldom:
    """Warns of a kind of thing at most once a minute. What is left out is only counted, and the
    next line of that kind says how much it was."""

    def __init__(
        self, log: logging.Logger, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._monotonic = monotonic
        self._left_out: dict[Hashable, int] = {}
        self._silent_until: dict[Hashable, float] = {}

    def warning(self, kind: Hashable, text: str) -> None:
        """kind: what is the same thing. Beyond so many kinds, what is left is one kind."""
        now = self._monotonic()
        if kind not in self._silent_until and len(self._silent_until) >= MAX_KINDS:
            self._forget(now)
            if len(self._silent_until) >= MAX_KINDS:
                kind = None
        if now < self._silent_until.get(kind, now):
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return
        self._silent_until[kind] = now + PAUSE_SECONDS
        more = self._left_out.pop(kind, 0)
        self._log.warning("%s%s", text, f" (and {more} more like it)" if more else "")

    def _forget(self, now: float) -> None:
        for kind in [kind for kind, until in self._silent_until.items() if until <= now]:
            del self._silent_until[kind]
            self._left_out.pop(kind, None)
