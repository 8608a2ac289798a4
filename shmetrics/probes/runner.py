# SPDX-License-Identifier: Apache-2.0
"""One run of a probe, as the gatherer sees it: pipes, what comes out of them, and the answer.

The run is over when the spawner says so. Then what is in the pipes is taken, and our ends are
closed, whoever may hold the others. A program that prints too much is ended at once.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

from shmetrics.probes.output import Bounds, Errors, Output
from shmetrics.probes.probe import Probe
from shmetrics.probes.spawner import protocol
from shmetrics.probes.spawner_client import SpawnerClient

_CHUNK_BYTES = 64 * 1024
_MOST_CHUNKS = 4  # read before other work of the loop has its turn
# A program that opens /dev/stdout opens the pipe anew, as another user than the one who made it.
_PIPE_MODE = 0o622


class Outcome(NamedTuple):
    """The end of a run.

    Attributes:
        answer: the spawner's; None: it went away in the middle.
        too_much: the program printed more than may be, and was ended.
        rejected: the number of lines that were not taken, by reason.
        last_error: the last line of STDERR.
    """

    answer: protocol.Ended | protocol.Refused | None
    too_much: bool
    rejected: Mapping[str, int]
    last_error: str


class Runner:
    """A run that has begun."""

    def __init__(
        self,
        client: SpawnerClient,
        probe: Probe,
        timeout_seconds: float,
        bounds: Bounds,
        take: Callable[[list[bytes]], None],
        stuck: Callable[[], None],
        done: Callable[[Outcome], None],
    ) -> None:
        """Begin it.

        Args:
            client: the connection with the spawner.
            probe: what runs.
            timeout_seconds: how long it may.
            bounds: how much it may print.
            take: called with the lines that it prints, as they come.
            stuck: called if it cannot be ended.
            done: called once, at the end.

        Raises:
            Unavailable: there is no spawner now. None of these is called.
            OSError: there are no pipes.
        """
        self._client = client
        self._take, self._stuck, self._done = take, stuck, done
        self._output, self._errors = Output(bounds), Errors(bounds)
        self._too_much = False
        self._loop = asyncio.get_running_loop()
        self._open: dict[int, Callable[[], None]] = {}
        output, its_output = _pipe()
        try:
            errors, its_errors = _pipe()
        except OSError:
            os.close(output)
            os.close(its_output)
            raise
        self._pipe, self._error_pipe = output, errors
        try:
            self._id = client.run(
                lambda id: _wish(id, probe, timeout_seconds),
                (its_output, its_errors),
                self._answered,
            )
        except BaseException:
            os.close(output)
            os.close(errors)
            raise
        finally:
            os.close(its_output)
            os.close(its_errors)
        for fd, read in ((output, self._read_output), (errors, self._read_errors)):
            self._open[fd] = read
            self._loop.add_reader(fd, read)

    def _read_output(self) -> None:
        for _ in range(_MOST_CHUNKS):
            data = self._read(self._pipe)
            if not data:
                return
            lines = self._output.feed(data)
            if lines:
                self._take(lines)
            if self._output.is_full:
                self._too_much = True
                self._close(self._pipe)
                self._client.stop(self._id)
                return

    def _read_errors(self) -> None:
        data = self._read(self._error_pipe)
        if data:
            self._errors.feed(data)
            if self._errors.is_full:  # what it writes there is not worth its end
                self._close(self._error_pipe)

    def _read(self, fd: int) -> bytes:
        """Return what is in a pipe, nothing if there is nothing. It is closed at its end."""
        if fd not in self._open:
            return b""
        try:
            data = os.read(fd, _CHUNK_BYTES)
        except BlockingIOError:
            return b""
        if not data:
            self._close(fd)
        return data

    def _close(self, fd: int) -> None:
        if self._open.pop(fd, None) is not None:
            self._loop.remove_reader(fd)
            os.close(fd)

    def _answered(self, answer: protocol.Answer | None) -> None:
        self._read_output()
        self._read_errors()
        for fd in list(self._open):
            self._close(fd)
        if isinstance(answer, protocol.Stuck):
            self._stuck()
            return
        was_ended = not isinstance(answer, protocol.Ended) or answer.exit_code < 0
        last = self._output.end(was_ended)
        if last:
            self._take(last)
        self._done(Outcome(answer, self._too_much, self._output.rejected, self._errors.last_line()))


def _pipe() -> tuple[int, int]:
    ours, its = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(ours, False)
    os.fchmod(its, _PIPE_MODE)
    return ours, its


def _wish(id: int, probe: Probe, timeout_seconds: float) -> protocol.Run:
    return protocol.Run(
        id=id,
        uid=probe.owner.uid,
        command=list(probe.command),
        directory=probe.directory,
        environment=dict(probe.environment),
        timeout_seconds=timeout_seconds,
    )
