# SPDX-License-Identifier: Apache-2.0
"""Calls of what may hang, each with a time of its own.

A driver of somebody else's cannot be told how long it may take, let alone to end. So it is called
in a thread that is left behind if it takes too long, and ends whenever the call does.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

T = TypeVar("T")

#: Threads that may hang at a time. Beyond it nothing is called until one of them comes back.
MOST_HANGING: Final = 4


class CallTimeout(TimeoutError):
    """A call takes too long, or too many do already."""


class BoundedCalls:
    """Used by one thread, whose calls these are."""

    def __init__(self, seconds: float) -> None:
        """seconds: for each call."""
        self._seconds = seconds
        self._worker: _Worker | None = None
        self._hanging: list[_Worker] = []

    def call(self, function: Callable[[], T]) -> T:
        """What it returns. Raises what it raises, and CallTimeout."""
        self._hanging = [worker for worker in self._hanging if not worker.has_answered.is_set()]
        if len(self._hanging) >= MOST_HANGING:
            raise CallTimeout(f"{MOST_HANGING} calls hang")
        if self._worker is None:
            self._worker = _Worker()
        worker = self._worker
        worker.begin(function)
        if not worker.has_answered.wait(self._seconds):
            self.close()
            self._hanging.append(worker)
            raise CallTimeout("timed out")
        found: T = worker.answer()
        return found

    def close(self) -> None:
        """Has the thread end, once it has nothing to do."""
        if self._worker is not None:
            self._worker.end()
            self._worker = None


class _Worker:
    """A thread, and what it was asked last."""

    def __init__(self) -> None:
        self.has_answered = threading.Event()
        self._asked: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        self._found: Any = None
        self._problem: Exception | None = None
        threading.Thread(target=self._run, name="shmetrics-aside", daemon=True).start()

    def begin(self, function: Callable[[], Any]) -> None:
        self.has_answered.clear()
        self._asked.put(function)

    def answer(self) -> Any:
        """Once there is one."""
        found, problem = self._found, self._problem
        self._found = self._problem = None
        if problem is not None:
            raise problem
        return found

    def end(self) -> None:
        self._asked.put(None)

    def _run(self) -> None:
        while (function := self._asked.get()) is not None:
            try:
                self._found = function()
            except Exception as error:
                self._problem = error
            self.has_answered.set()
