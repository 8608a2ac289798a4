# SPDX-License-Identifier: Apache-2.0
"""A log that nobody can fill: with a flood of one thing, a thousand kinds, or long texts."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable

PAUSE_SECONDS = 60.0
MAX_KINDS = 30  # of one culprit
MAX_CULPRITS = 30
MAX_TEXT = 400  # characters of a line


class RateLimitedLog:
    """Warns of a kind of thing at most once a minute. What is left out is only counted, and the
    next line of that kind says how much it was.

    A kind may be made of what strangers say: no more is kept of it than a number. There are so many
    kinds of each culprit, and so many culprits, within a minute; what is beyond is one kind.
    """

    def __init__(
        self, log: logging.Logger, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._monotonic = monotonic
        self._said: dict[int | None, _Kinds] = {}  # by culprit

    def warning(
        self, kind: Hashable, text: str, culprit: Hashable = None, exc_info: bool = False
    ) -> None:
        """Warn in one line, or count. kind: what is the same thing. culprit: whose kinds are
        counted together, as a user's; others' lines do not suffer from it. exc_info: whether the
        exception at hand is shown, too."""
        now = self._monotonic()
        said = self._kinds_of(hash(culprit), now)
        more = said.left_out_before(hash(kind), now)
        if more is not None:
            count = f" (and {more} more like it)" if more else ""
            self._log.warning("%s%s", shown(text), count, exc_info=exc_info)

    def _kinds_of(self, culprit: int, now: float) -> _Kinds:
        if culprit not in self._said and len(self._said) >= MAX_CULPRITS:
            self._said = {who: said for who, said in self._said.items() if said.remembers(now)}
            if len(self._said) >= MAX_CULPRITS:
                return self._said.setdefault(None, _Kinds())
        return self._said.setdefault(culprit, _Kinds())


class _Kinds:
    """What was said of one culprit: by kind, until when it is not said again, and how often it was
    left out. None is the kind of those that are too many."""

    def __init__(self) -> None:
        self._silent_until: dict[int | None, float] = {}
        self._left_out: dict[int | None, int] = {}

    def remembers(self, now: float) -> bool:
        return any(until > now for until in self._silent_until.values())

    def left_out_before(self, kind: int | None, now: float) -> int | None:
        """How often it was left out, if it is to be said now; or None."""
        if kind not in self._silent_until and len(self._silent_until) >= MAX_KINDS:
            self._forget(now)
            if len(self._silent_until) >= MAX_KINDS:
                kind = None
        if now < self._silent_until.get(kind, now):
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return None
        self._silent_until[kind] = now + PAUSE_SECONDS
        return self._left_out.pop(kind, 0)

    def _forget(self, now: float) -> None:
        for kind in [kind for kind, until in self._silent_until.items() if until <= now]:
            del self._silent_until[kind]
            self._left_out.pop(kind, None)


def shown(text: str, most: int = MAX_TEXT) -> str:
    """Return a text as a log may have it: of one line, and not longer than `most` characters."""
    cut = text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 2 :]}"
    return "".join(c if c.isprintable() else "?" for c in cut)
