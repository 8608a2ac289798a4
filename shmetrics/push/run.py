# SPDX-License-Identifier: Apache-2.0
"""A program whose STDOUT and STDERR are handed on byte for byte, and looked through on the way.

It behaves as it would alone: the signals that come to this process go to it, and its exit status is
this process's own. Where nobody reads its output any more, it gets the SIGPIPE. It is not held up
by what becomes of its lines. When it has ended, what is in the pipes is handed on, and no more is
waited for: a daemon that it has left behind may keep them open for ever.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from shmetrics.errors import ShmetricsError
from shmetrics.push import standard
from shmetrics.push.pump import BLOCK_BYTES, Pump

FORWARDED: Final = frozenset(
    {
        *(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT),
        *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT, signal.SIGWINCH, signal.SIGALRM),
    }
)
#: What Python ignores, and programs do not expect to be ignored.
_DEFAULT: Final = [signal.SIGPIPE, signal.SIGXFSZ]
_SIGNALLED: Final = 128  # a shell's exit status for signal 0
#: A pump waits for the interpreter about this long while lines are looked at; Python's own 5 ms
#: are as long as it takes to fill five pipes.
_SWITCH_SECONDS: Final = 0.0001


class NotFound(ShmetricsError):
    """There is no such program."""

    exit_status = 127


class NotExecutable(ShmetricsError):
    """The program cannot be started."""

    exit_status = 126


def run(
    command: Sequence[str],
    environment: Mapping[str, str],
    looks: Callable[[], Callable[[bytearray, int], None]],
) -> int:
    """Run a program to its end, and return its exit status; 128 + N if signal N has ended it.

    Args:
        command: the program, looked up in $PATH, and its arguments.
        environment: its environment.
        looks: called for each stream of output; returns what looks at each piece of it.

    Raises:
        ShmetricsError: the program cannot be started, or its output not be written.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    standard.open_closed()
    streams = [_Stream(target) for target in _targets()]
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # an ignored one would hide the exit status
    with _blocked() as mask:
        try:
            pid = _spawned(command, environment, streams, mask)
        finally:
            for stream in streams:
                os.close(stream.write_end)
        pumps = [Pump(stream.read_end, stream.target, looks()) for stream in streams]
        threads = [threading.Thread(target=pump.run, daemon=True) for pump in pumps]
        for thread in threads:
            thread.start()
        status = _ended(pid)
    for pump in pumps:
        pump.finish()
    for thread in threads:
        thread.join()
    for pump in pumps:
        pump.close()
        if pump.problem is not None and not isinstance(pump.problem, BrokenPipeError):
            raise ShmetricsError(f"{command[0]}: its output was lost: {pump.problem.strerror}")
    return status


class _Stream:
    """The pipe in place of STDOUT, STDERR or both."""

    def __init__(self, targets: tuple[int, ...]) -> None:
        self.numbers = targets
        self.target = targets[0]
        self.read_end, self.write_end = os.pipe()
        with contextlib.suppress(OSError):  # a user may have only so much of larger pipes
            fcntl.fcntl(self.write_end, fcntl.F_SETPIPE_SZ, BLOCK_BYTES)


def _targets() -> list[tuple[int, ...]]:
    """Return the descriptors that share a pipe: both, if both lead to one file.

    With a pipe each, what comes on STDERR could overtake what was written before it.
    """
    return [(1, 2)] if os.path.sameopenfile(1, 2) else [(1,), (2,)]


@contextlib.contextmanager
def _blocked() -> Iterator[set[int]]:
    """Let signals wait for `_ended`, in this thread and those that it starts."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED | {signal.SIGCHLD})
    try:
        yield {int(number) for number in before}
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _spawned(
    command: Sequence[str],
    environment: Mapping[str, str],
    streams: Sequence[_Stream],
    mask: set[int],
) -> int:
    actions = [
        (os.POSIX_SPAWN_DUP2, stream.write_end, number)
        for stream in streams
        for number in stream.numbers
    ]
    try:
        return os.posix_spawnp(
            command[0],
            list(command),
            environment,
            file_actions=actions,
            setsigmask=mask,
            setsigdef=_DEFAULT,
        )
    except FileNotFoundError:
        raise NotFound(f"{command[0]}: no such program; is it in $PATH?") from None
    except OSError as error:
        raise NotExecutable(f"{command[0]}: {error.strerror}") from None


def _ended(pid: int) -> int:
    """Pass signals on until a program has ended, and return its exit status."""
    while True:
        came = signal.sigwaitinfo(FORWARDED | {signal.SIGCHLD})
        if came.si_signo == signal.SIGCHLD:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else _SIGNALLED - code
        elif came.si_code <= 0:  # one of the kernel's, as ^C, has come to the program as well
            os.kill(pid, came.si_signo)
