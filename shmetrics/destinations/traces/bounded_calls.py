# SPDX-License-Identifier: Apache-2.0
"""Calls with a time limit, for functions that may hang.

A driver of another library accepts no time limit, and cannot be told to end. So it is called in a
thread. A thread that takes too long is abandoned, and ends whenever its call does.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

T = TypeVar("T")

#: The most threads that hang. At this number nothing is called until one of them returns.
MOST_HANGING: Final = 4


class CallTimeout(TimeoutError):
    """A call takes too long, or too many calls hang already."""


class BoundedCalls:
    """The calls of one thread, which only that thread may make."""

    def __init__(self, seconds: float) -> None:
        """Set the time limit of each call, in seconds."""
        self._seconds = seconds
        self._worker: _Worker | None = None
        self._hanging: list[_Worker] = []

    def call(self, function: Callable[[], T]) -> T:
        """Call a function in the helper thread, and return its result.

        Raises:
            CallTimeout: it takes too long, or too many calls hang already.
            Exception: whatever the function raises.
        """
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
        """Let the helper thread end after its call."""
        if self._worker is not None:
            self._worker.end()
            self._worker = None


class _Worker:
    """A thread, and its last call."""

    def __init__(self) -> None:
        self.has_answered = threading.Event()
        self._asked: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        self._found: Any = None
        self._problem: Exception | None = None
        threading.Thread(target=self._run, name="shmetrics-call", daemon=True).start()

    def begin(self, function: Callable[[], Any]) -> None:
        self.has_answered.clear()
        self._asked.put(function)

    def answer(self) -> Any:
        """Return or raise the result of the last call, which must have ended."""
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
