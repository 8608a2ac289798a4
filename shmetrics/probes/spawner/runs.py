# SPDX-License-Identifier: Apache-2.0
"""All runs of a spawner: begun within a bound, ended in time, reaped, and answered."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

from shmetrics.config.spawner import Spawner as Options
from shmetrics.probes.spawner import _start
from shmetrics.probes.spawner.accounts import Account
from shmetrics.probes.spawner.connection import Connection
from shmetrics.probes.spawner.orphans import Orphans
from shmetrics.probes.spawner.permission import NotAllowed, environment
from shmetrics.probes.spawner.protocol import Ended, Stuck
from shmetrics.probes.spawner.protocol import Run as Wish
from shmetrics.probes.spawner.run import Limits, Run
from shmetrics.probes.spawner.run_cgroups import RunCgroups

MOST_STUCK = 100  # beyond which no more runs are begun


class Answered(NamedTuple):
    """The news of a run, and the gatherer that hears them."""

    connection: Connection
    said: Ended | Stuck


class _Active(NamedTuple):
    """A run, with the connection that asked for it, and the number of its request."""

    run: Run
    connection: Connection
    id: int


class Runs:
    """The runs of a spawner."""

    def __init__(
        self,
        options: Options,
        cgroups: RunCgroups | None,
        monotonic_ns: Callable[[], int],
        allowed: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """Begin without a run.

        Args:
            options: the limits.
            cgroups: makes cgroups for runs; None: there are none.
            monotonic_ns: the clock, in nanoseconds.
            allowed: is entered while a start may take long; others may `advance` meanwhile.
        """
        self._options = options
        self._cgroups = cgroups
        self._monotonic_ns = monotonic_ns
        self._allowed = allowed
        self._changes_user = os.geteuid() == 0
        self._active: dict[int, _Active] = {}  # by pid
        self._orphans = Orphans()
        self._nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def begin(
        self, wish: Wish, account: Account, descriptors: list[int], connection: Connection
    ) -> None:
        """Start a program.

        Args:
            wish: what the gatherer asks for, which is allowed.
            account: who runs it.
            descriptors: its STDOUT and STDERR.
            connection: who gets the answer.

        Raises:
            NotAllowed: as many as may are running.
            NotStarted: it cannot be run.
        """
        most = self._options.most_at_once
        stuck = sum(active.run.is_stuck for active in self._active.values())
        if len(self._active) - stuck >= most:
            raise NotAllowed("busy", f"{most} commands run already; see spawner.most_at_once")
        if stuck >= MOST_STUCK:
            raise NotAllowed("stuck", f"SIGKILL does not end {stuck} commands; is a disk dead?")
        seconds = min(wish.timeout_seconds, self._options.longest_seconds)
        output, errors = descriptors

        def start(cgroup_procs: int) -> int:
            with self._allowed():
                return _start.start(
                    [os.fsencode(word) for word in wish.command],
                    environment(account, wish.environment),
                    os.fsencode(wish.directory),
                    (self._nothing, output, errors),
                    account if self._changes_user else None,
                    self._limits(seconds),
                    cgroup_procs,
                )

        cgroup = self._cgroups.take() if self._cgroups else None
        try:
            run = Run(start, cgroup, int(seconds * 1e9), self._monotonic_ns())
        except _start.NotStarted:
            if self._cgroups and cgroup:
                self._cgroups.give_back(cgroup)
            raise
        self._active[run.pid] = _Active(run, connection, wish.id)
        if cgroup is None:
            self._orphans.begin(run.pid, wish.uid)

    def kill(self, connection: Connection, id: int | None = None) -> None:
        """End the run of a gatherer that has this number, or all of its runs."""
        for active in self._active.values():
            if active.connection is connection and id in (None, active.id):
                active.run.kill(self._monotonic_ns())

    def wait_seconds(self) -> float | None:
        """Return how long until a run has to be looked after, None if none has."""
        deadlines = [active.run.deadline_ns for active in self._active.values()]
        first = min((each for each in deadlines if each is not None), default=None)
        return None if first is None else max(first - self._monotonic_ns(), 0) / 1e9

    def advance(self) -> list[Answered]:
        """End what is late, and return what is to be said of what cannot be ended."""
        now = self._monotonic_ns()
        stuck = [active for active in self._active.values() if active.run.advance(now)]
        return [Answered(active.connection, Stuck(active.id)) for active in stuck]

    def reap(self) -> list[Answered]:
        """Take leave of all children that have died, and return the answers for those of runs."""
        answers = []
        while (pid := _dead_child()) is not None:
            active = self._active.get(pid)
            if active is not None:
                active.run.kill(self._monotonic_ns())  # what it has started
            _, status = os.waitpid(pid, 0)
            if active is None:
                self._orphans.sweep(self._active)
                continue
            del self._active[pid]
            self._orphans.end(pid, self._active)
            answers.append(self._answer(active, os.waitstatus_to_exitcode(status)))
        return answers

    def end(self) -> bool:
        """End all runs at once, and what they left; return whether any child is there still."""
        for active in self._active.values():
            active.run.kill(self._monotonic_ns())
        self._orphans.sweep(self._active)
        return _has_children()

    def close(self) -> None:
        """Close what it has opened."""
        os.close(self._nothing)
        if self._cgroups:
            self._cgroups.close()

    def _answer(self, active: _Active, exit_code: int) -> Answered:
        run = active.run
        if self._cgroups and run.cgroup:
            self._cgroups.give_back(run.cgroup)
        seconds = run.duration_seconds(self._monotonic_ns())
        return Answered(active.connection, Ended(active.id, exit_code, run.timed_out, seconds))

    def _limits(self, timeout_seconds: float) -> Limits:
        options = self._options
        # The deadline comes first. This ends what a spawner that was killed could not end.
        cpu_seconds = int(timeout_seconds) + 2
        return Limits(
            cpu_seconds, options.memory_bytes, options.processes, options.file_bytes, options.nice
        )


def _dead_child() -> int | None:
    """Return a child that has died, and leave it a zombie: its number is not used again yet."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return found.si_pid if found else None


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
