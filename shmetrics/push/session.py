# SPDX-License-Identifier: Apache-2.0
"""One program's output from the streams that it has to the sink of its metric lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from shmetrics.lines.line import LIMITS
from shmetrics.push.backlog import Backlog
from shmetrics.push.candidates import EQUALS, TYPED
from shmetrics.push.sink import Sink
from shmetrics.push.taker import Taker
from shmetrics.push.whole_lines import WholeLines

#: How long the last lines may take once the program has ended.
FINISH_SECONDS: Final = 3.0


class Session:
    """A session: streams are added, looked at, and the rest of all is taken at the end."""

    def __init__(
        self,
        unit: str,
        is_named: bool,
        is_typed: bool = False,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Begin without streams.

        Args:
            unit: the name of the unit whose lines these are.
            is_named: whether a user has chosen the name.
            is_typed: whether only lines with `type=metric` are metric lines.
            tell: called at most once, in a thread, with one line for people.
        """
        self.sink = Sink(unit, is_named, LIMITS._replace(is_typed=is_typed), tell)
        self._is_typed = is_typed
        self._backlog = Backlog()
        self._streams: list[WholeLines] = []
        self._taker: Taker | None = None

    def stream(self) -> Callable[[bytearray, int], None]:
        """Add a stream, and return what looks at each piece of it.

        The first one starts a thread, which has the signal mask of this one.
        """
        if self._taker is None:
            self._taker = Taker(self._backlog, self.sink.take, self._is_typed)
        mark = TYPED if self._is_typed else EQUALS
        lines = WholeLines(self._backlog.put, mark, LIMITS.line_bytes)
        self._streams.append(lines)
        return lines.look

    def finish(self) -> None:
        """Take what is left, after all streams have ended."""
        for lines in self._streams:
            lines.end()
        if self._taker is not None and self._taker.finish(FINISH_SECONDS):
            self.sink.close(self._backlog.lost_bytes)
