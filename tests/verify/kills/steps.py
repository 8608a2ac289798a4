# SPDX-License-Identifier: Apache-2.0
"""Work that is killed at its first step, at its second one, and so on until its end."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from tests.servers.processes import fork

Work = Callable[[], object]

TRACED = ("lane_files.py", "lanes.py")
EVENTS = ("open", "os.rename", "os.remove", "os.truncate", "mmap.__new__")


class _Steps:
    """A counter of lines of the code in question, and of system calls; it kills at the last one."""

    def __init__(self, last: int) -> None:
        self._left = last

    def _step(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def trace(self, frame: FrameType, event: str, arg: object) -> Any:
        if not frame.f_code.co_filename.endswith(TRACED):
            return None
        if event == "line":
            self._step()
        return self.trace

    def audit(self, event: str, arguments: object) -> None:
        if event in EVENTS:
            self._step()


def _child(step: int, prepare: Callable[[], Work]) -> None:
    try:
        work = prepare()
        steps = _Steps(step)
        sys.addaudithook(steps.audit)
        sys.settrace(steps.trace)
        work()
        os._exit(0)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        os._exit(1)


def steps_until_the_end(prepare: Callable[[], Work]) -> Iterator[int]:
    """Yield the steps before each of which a child was killed at the work that prepare gives,
    until a child has come to the end of the work."""
    step = 1
    while True:
        pid = fork()
        if pid == 0:
            _child(step, prepare)
        _, status = os.waitpid(pid, 0)
        if os.WIFEXITED(status):
            break
        yield step
        step += 1
    assert os.WEXITSTATUS(status) == 0
    assert step > 20
