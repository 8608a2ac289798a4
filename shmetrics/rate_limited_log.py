# SPDX-License-Identifier: Apache-2.0
"""A log that cannot be flooded: by one warning, by a thousand kinds of them, or by long texts."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable

PAUSE_SECONDS = 60.0
MAX_KINDS = 30  # of one culprit
MAX_CULPRITS = 30
MAX_TEXT = 400  # characters of a line


class RateLimitedLog:
    """A log with at most one line a minute for each kind of warning.

    The warnings in between are counted, and the next line of their kind gives the number. A kind
    may contain text of strangers: only its hash is kept. The number of kinds of a culprit, and the
    number of culprits, are limited for each minute; all kinds beyond the limit count as one.
    """

    def __init__(
        self, log: logging.Logger, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._monotonic = monotonic
        self._by_culprit: dict[int | None, _Kinds] = {}  # by culprit

    def warning(
        self, kind: Hashable, text: str, culprit: Hashable = None, exc_info: bool = False
    ) -> None:
        """Log a warning in one line, or count it.

        Args:
            kind: warnings of the same kind share one line a minute.
            text: the line; it is cut to MAX_TEXT characters.
            culprit: the cause of the warning, such as a user. Its kinds have a limit of their own,
                so that it cannot use up the lines of others.
            exc_info: log the current exception as well.
        """
        now = self._monotonic()
        said = self._kinds_of(hash(culprit), now)
        more = said.left_out_before(hash(kind), now)
        if more is not None:
            count = f" (and {more} more like it)" if more else ""
            self._log.warning("%s%s", shown(text), count, exc_info=exc_info)

    def _kinds_of(self, culprit: int, now: float) -> _Kinds:
        if culprit not in self._by_culprit and len(self._by_culprit) >= MAX_CULPRITS:
            self._by_culprit = {
                who: said for who, said in self._by_culprit.items() if said.remembers(now)
            }
            if len(self._by_culprit) >= MAX_CULPRITS:
                return self._by_culprit.setdefault(None, _Kinds())
        return self._by_culprit.setdefault(culprit, _Kinds())


class _Kinds:
    """The warnings about one culprit: by kind, the end of its pause and the number left out.

    None is the kind of all that are beyond the limit.
    """

    def __init__(self) -> None:
        self._silent_until: dict[int | None, float] = {}
        self._left_out: dict[int | None, int] = {}

    def remembers(self, now: float) -> bool:
        return any(until > now for until in self._silent_until.values())

    def left_out_before(self, kind: int | None, now: float) -> int | None:
        """Count a warning of a kind.

        Returns:
            The number of warnings left out before, if this one is to be logged, otherwise None.
        """
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
    """Return a text as one printable line of about *most* characters; its middle is cut out."""
    cut = text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 2 :]}"
    return "".join(c if c.isprintable() else "?" for c in cut)
