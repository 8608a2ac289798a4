# SPDX-License-Identifier: Apache-2.0
"""All probes of a gatherer: started in their turn, bounded, and what they print handed on."""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from shmetrics.probes import prometheus_text
from shmetrics.probes.callbacks import Callbacks
from shmetrics.probes.limits import ProbeLimits
from shmetrics.probes.probe import KIND, Key, Probe, Result
from shmetrics.probes.prometheus_text import BadText
from shmetrics.probes.runner import Outcome, Runner
from shmetrics.probes.schedule import Schedule
from shmetrics.probes.spawner import protocol
from shmetrics.probes.spawner_client import SpawnerClient, Unavailable
from shmetrics.probes.unit_time import UnitTime
from shmetrics.rate_limited_log import RateLimitedLog

log = logging.getLogger(__name__)


class Counts(NamedTuple):
    """Counts of what did not go as it should, by reason, since the start.

    Attributes:
        killed: runs that were ended: timeout, unit_timeout, output, spawner_gone; and stuck, which
            counts a run again that could not be ended.
        skipped: turns that were not taken: late, running, no_room, backing_off (schedule.py),
            unit_timeout, no_spawner; and what the spawner refuses: busy, command, environment,
            not_started, slow_start, root, stuck, untrusted, user.
        lines_rejected: lines: long, control, not_utf8, incomplete, beyond (output.py), bad_text.
    """

    killed: Counter[str]
    skipped: Counter[str]
    lines_rejected: Counter[str]


class Probes:
    """The probes of one gatherer, in its asyncio loop."""

    def __init__(
        self,
        client: SpawnerClient,
        callbacks: Callbacks,
        limits: ProbeLimits,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._client = client
        self._callbacks = callbacks
        self._limits = limits
        self._monotonic_ns = monotonic_ns
        self._probes: dict[Key, Probe] = {}
        self._schedule = Schedule(limits.most_at_once)
        self._unit_time = UnitTime(limits.unit_seconds, limits.interval_seconds)
        self._timer: asyncio.TimerHandle | None = None
        self._is_started = False
        self._is_closed = False
        self._finished = asyncio.Event()
        self._rate_limited = RateLimitedLog(log)
        self.counts = Counts(Counter(), self._schedule.skipped, Counter())

    def set(self, probes: Iterable[Probe]) -> None:
        """Set which probes there are. Those that stay keep their turns; runs go on."""
        self._probes = {probe.key: probe for probe in probes}
        self._schedule.set(
            {key: int(probe.interval_seconds * 1e9) for key, probe in self._probes.items()},
            self._monotonic_ns(),
        )
        self._unit_time.keep({unit for unit, _ in self._probes})
        if self._is_started:
            self._look_later()

    def start(self) -> None:
        """Run them in the running loop, each in its turn, from now on."""
        self._is_started = True
        self._look_later()

    async def once(self) -> None:
        """Run each of them once, now, as many at a time as may, and wait for all results."""
        self._schedule.call_all()
        self._fill()
        while self._schedule.is_busy and not self._is_closed:
            self._finished.clear()
            await self._finished.wait()

    def close(self) -> None:
        """End all runs, and run nothing any more. Their results come before this returns."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._client.close()
        self._finished.set()

    @property
    def running(self) -> int:
        """Return how many run now."""
        return self._schedule.running

    def _look_later(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        at_ns = self._schedule.next_ns()
        if at_ns is not None:
            wait = max(at_ns - self._monotonic_ns(), 0) / 1e9
            self._timer = asyncio.get_running_loop().call_later(wait, self._look)

    def _look(self) -> None:
        self._schedule.take_turns(self._monotonic_ns())
        self._fill()
        self._look_later()

    def _fill(self) -> None:
        """Start what waits and has room. One that cannot be started leaves its room to the next."""
        while not self._is_closed and (found := self._schedule.fill()):
            for key in found:
                self._begin(self._probes[key])

    def _begin(self, probe: Probe) -> None:
        left = self._left_seconds(probe)
        if left <= 0:
            self._not_run(probe, "unit_timeout", "the unit's probes have had their time")
            return
        pieces: list[bytes] = []
        try:
            Runner(
                self._client,
                probe,
                min(probe.timeout_seconds, left),
                self._limits.bounds,
                functools.partial(self._take_lines, probe, pieces),
                functools.partial(self._stuck, probe),
                functools.partial(self._done, probe, pieces, left < probe.timeout_seconds),
            )
        except Unavailable as error:
            self._not_run(probe, "no_spawner", str(error))
        except OSError as error:
            self._not_run(probe, "no_pipe", f"there is no pipe for it: {error.strerror}")

    def _left_seconds(self, probe: Probe) -> float:
        """Return how long a probe may take at most, whatever its own time."""
        if probe.owner.kind == KIND:  # it has no more than one, with the time that it was given
            return math.inf
        return self._unit_time.left_seconds(probe.owner.unit, self._monotonic_ns())

    def _take_lines(self, probe: Probe, pieces: list[bytes], lines: list[bytes]) -> None:
        if probe.format != "lines":
            pieces += lines
            return
        for line in lines:
            self._callbacks.line(probe, line)

    def _stuck(self, probe: Probe) -> None:
        """Go on without a run that SIGKILL does not end. It is no success, whenever it ends."""
        self.counts.killed["stuck"] += 1
        self._schedule.stuck(probe.key)
        self._tell(Result(probe, False, 0.0, -1, "it was told to end, and SIGKILL does not end it"))
        self._fill()

    def _done(self, probe: Probe, pieces: list[bytes], is_short: bool, outcome: Outcome) -> None:
        self.counts.lines_rejected.update(outcome.rejected)
        answer = outcome.answer
        if isinstance(answer, protocol.Refused):
            # A start that takes long keeps the spawner from all others, so it counts as a time-out.
            self._not_run(probe, answer.reason, answer.text, answer.reason == "slow_start")
        elif answer is None and self._is_closed:
            self._finish(probe, Result(probe, False, 0.0, -1, "it ended with the gatherer"))
        elif answer is None:
            self.counts.killed["spawner_gone"] += 1
            self._finish(probe, Result(probe, False, 0.0, -1, "the spawner has gone"))
        else:
            self._ended(probe, pieces, is_short, outcome, answer)
        self._fill()

    def _ended(
        self,
        probe: Probe,
        pieces: list[bytes],
        is_short: bool,
        outcome: Outcome,
        ended: protocol.Ended,
    ) -> None:
        self._unit_time.spend(probe.owner.unit, ended.duration_seconds, self._monotonic_ns())
        problem = ""
        is_whole = probe.format != "lines"  # all of it, or nothing
        if ended.timed_out:
            self.counts.killed["unit_timeout" if is_short else "timeout"] += 1
            problem = f"it was ended after {ended.duration_seconds:.3g} s"
        elif outcome.too_much:
            self.counts.killed["output"] += 1
            problem = "it was ended because it printed too much"
        elif ended.exit_code:
            problem = _how(ended.exit_code)
        elif is_whole and outcome.rejected:
            problem = f"not all of its lines could be taken: {', '.join(outcome.rejected)}"
        elif probe.format == "files":
            self._callbacks.files(probe, pieces)
        elif is_whole:
            problem = self._take_text(probe, pieces)
        self._finish(
            probe,
            Result(
                probe,
                not problem,
                ended.duration_seconds,
                ended.exit_code,
                problem,
                outcome.last_error,
            ),
            ended.timed_out,
        )

    def _take_text(self, probe: Probe, pieces: list[bytes]) -> str:
        """Hand on what a run has printed in the text format; return what is wrong with it."""
        try:
            families = prometheus_text.parse(b"\n".join([*pieces, b""]))
        except BadText as error:
            self.counts.lines_rejected["bad_text"] += len(pieces)
            return str(error)
        self._callbacks.families(probe, families)
        return ""

    def _not_run(self, probe: Probe, reason: str, text: str, timed_out: bool = False) -> None:
        self.counts.skipped[reason] += 1
        self._finish(probe, Result(probe, False, 0.0, -1, text), timed_out)

    def _finish(self, probe: Probe, result: Result, timed_out: bool = False) -> None:
        self._schedule.ended(probe.key, timed_out)
        self._tell(result)

    def _tell(self, result: Result) -> None:
        if result.problem:
            probe = result.probe
            said = f"; it said: {result.last_error}" if result.last_error else ""
            self._rate_limited.warning(
                probe.name,
                f"probe {probe.name} of {probe.owner.unit}: {result.problem}{said}",
                culprit=probe.owner.unit,
            )
        self._callbacks.result(result)
        self._finished.set()


def _how(exit_code: int) -> str:
    if exit_code < 0:
        return f"signal {-exit_code} ended it"
    return f"it ended with status {exit_code}"
