# SPDX-License-Identifier: Apache-2.0
"""The problems of this process: what is wrong with a metric, why, and what to do about it.

A problem is found where an event is recorded, or told by the collector. Nothing may wait there: a
signal handler may have interrupted the service's own logging, whose locks are then held, and with
eventlet or gevent a lock runs other greenlets. So a short thread of its own writes the line. If
there can be none, the line is written at the exit.

Nothing here takes a lock: each step is one operation on a dictionary, a list or a deque.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from shmetrics.binding import layout
from shmetrics.binding import ring as _ring
from shmetrics.dictionary import Definition
from shmetrics.emitter import strict
from shmetrics.notices import Notice, decode_notices

LAST_WAITS, LAST_WAIT_SECONDS = 50, 0.001
MOST = 100  # a process that makes new mistakes without end has said enough

_LANE = "see store.max_series_per_lane, [[labels]], and what status() has as problem"
# What the counts of dropped events mean for one metric: cause and mend, by the cause's number.
_CAUSES = {
    layout.DROP_LANE_FULL: ("dropped: there is no room for it in the lane", _LANE),
    layout.DROP_OVERSIZED: (
        f"dropped: its definition has more than {layout.ENTRY_MAX_BYTES} bytes",
        "give it a shorter help text, or fewer labels or buckets",
    ),
    layout.DROP_BAD_VALUE: (
        "dropped: a value that is negative, infinite or no number",
        "add numbers of at least 0 to a counter, set a gauge to a number, and observe finite ones",
    ),
    layout.DROP_FOREIGN_CALL: (
        "dropped: the end of a call in a process that did not start it",
        "end calls before os.fork(), or in the parent",
    ),
    layout.DROP_UNTRACKED_CALL: (
        "counted, but not among the open calls: there are too many of them",
        "see whether calls are started and never ended",
    ),
    layout.DROP_BAD_EXEMPLAR: (
        "an exemplar is not kept as it is, but the event counts",
        'give {"trace_id": 32 hexadecimal digits}, with "span_id" (16 digits) or without, only',
    ),
    layout.CAUSE_OVERFLOW: (
        "no room for more label values: further ones are counted as __overflow__",
        _LANE,
    ),
}
_TOTAL_CAUSES = _CAUSES | {  # what they mean for an observed counter
    layout.DROP_BAD_VALUE: (
        "dropped: a total that is lower than before, negative, infinite or no number",
        "call new_generation() where the counter was reset, and set_totals() with one double each",
    ),
}
_OF_ROOM = (layout.DROP_LANE_FULL, layout.CAUSE_OVERFLOW)
_TOO_MANY = Notice("", "more", "there are more problems than are kept", "mend these first")


class Problem(NamedTuple):
    """A problem.

    Attributes:
        metric: the name of the metric; "" if it is none in particular.
        cause: what is wrong.
        mend: what to do about it.
    """

    metric: str
    cause: str
    mend: str

    def line(self) -> str:
        """Return the problem as one line for the log."""
        metric = repr(self.metric)[1:-1] if self.metric else "shmetrics"
        return f"{metric}: {self.cause}; {self.mend}"


class Problems:
    """The problems of this process. A forked child starts without any.

    Attributes:
        refusal: why the collector has refused a lane the last time, in its words; "" if it gave
            one.
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.refusal = ""
        self._epoch = _ring.process_epoch()
        self._found: dict[tuple[str, str], Problem] = {}  # by metric and reason
        self._over: dict[tuple[str, str], None] = {}  # those that are over, and were logged
        self._unsaid: deque[Problem] = deque()
        self._threads = [None]  # as many more may be started
        self._causes: dict[str, int] = {}  # of each metric, as of the last look
        self._counted: tuple[int, ...] = ()  # the counts of drops and overflows at the last look

    def _is_parents(self) -> bool:
        return self._epoch != _ring.process_epoch()

    def __iter__(self) -> Iterator[Problem]:
        """Iterate over a copy of the list, oldest first."""
        return iter(list(self._found.values()))

    def note(self, notice: Notice) -> None:
        """Note a problem, and log it once; or note that it is over."""
        if self._is_parents():
            self._begin()
        key = notice.metric, notice.reason
        if not notice.cause:
            if self._found.pop(key, None) is not None:
                self._over[key] = None
            return
        if key in self._found or _ring.process_status()["disabled"]:
            return
        if len(self._found) + len(self._over) >= MOST:
            notice = _TOO_MANY
            key = notice.metric, notice.reason
        problem = Problem(notice.metric, notice.cause, notice.mend)
        if self._found.setdefault(key, problem) is problem and key not in self._over:
            self._unsaid.append(problem)
            self._say_soon()

    def look(self) -> bool:
        """Look for what the collector has told, and for causes of dropped events.

        Returns:
            Whether there was anything that no earlier look has found.
        """
        if self._is_parents():
            self._begin()
        notices = decode_notices(_ring.process_notices())
        for notice in notices:
            self.note(notice)
        has_news = bool(notices)
        status = _ring.process_status()
        counted = (status.get("overflowed", 0), *status.get("dropped", {}).values())
        if counted != self._counted:
            self._counted = counted
            for family in list(_ring.families.values()):
                causes, metric = family.ring.causes(), family.definition.name
                if causes & ~self._causes.get(metric, 0):
                    self._causes[metric] = causes | self._causes.get(metric, 0)
                    self._note_causes(family.definition, causes)
                    has_news = True
        return has_news

    def _note_causes(self, definition: Definition, causes: int) -> None:
        """Note why events of a metric were dropped or overflow: a bit for each cause."""
        texts = _TOTAL_CAUSES if definition.type == layout.TYPE_OBSERVED else _CAUSES
        for cause, (text, mend) in texts.items():
            if causes >> cause & 1:
                if cause in _OF_ROOM:
                    mend = self._mend_of_room() or mend
                self.note(Notice(definition.name, str(cause), text, mend))

    def _mend_of_room(self) -> str:
        """Return the mend where a larger lane was refused: the option that the refusal names."""
        _, _, option = self.refusal.rpartition("; see ")
        return f"see {option} and [[labels]]" if option else ""

    def has_room(self) -> None:
        """Note that there is room in the lane again for what had none."""
        self.refusal = ""
        for family in list(_ring.families.values()):
            metric = family.definition.name
            for cause in _OF_ROOM:
                if family.ring.causes() >> cause & 1:
                    family.ring.forget_cause(cause)
                    self._causes[metric] = self._causes.get(metric, 0) & ~(1 << cause)
                    self.note(Notice(metric, str(cause)))

    def say_last(self) -> None:
        """Log at the exit what was not logged yet, after a moment for the thread that does it."""
        for _ in range(LAST_WAITS):
            if self._threads:
                break
            time.sleep(LAST_WAIT_SECONDS)
        self.say()

    def say(self) -> None:
        """Log what was not logged yet."""
        while self._unsaid:
            try:
                problem = self._unsaid.popleft()
            except IndexError:  # another thread was faster
                return
            try:
                import logging

                level = logging.ERROR if strict.IS_STRICT else logging.WARNING
                logging.getLogger("shmetrics").log(level, "%s", problem.line())
            except Exception:  # a handler of the service's; its errors are not ours to raise
                continue

    def _say_soon(self) -> None:
        """Log in a thread of its own, unless there is one already."""
        try:
            self._threads.pop()
        except IndexError:  # it runs, and looks again before it ends
            return
        try:
            # Looked up at each call: eventlet and gevent replace it.
            sys.modules["_thread"].start_new_thread(self._say_and_end, ())
        except Exception:  # none can be started now: the next problem tries again
            self._threads.append(None)

    def _say_and_end(self) -> None:
        self.say()
        self._threads.append(None)
        if self._unsaid:  # appended while this thread ended
            self._say_soon()


problems = Problems()
