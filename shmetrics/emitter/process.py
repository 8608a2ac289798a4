# SPDX-License-Identifier: Apache-2.0
"""The registration of this process: when to ask for a lane, and what to do with the answer.

All of it runs on the slow path of a record. The first try may wait 50 ms for the collector's
answer; later tries never wait, but for a millisecond each while label sets wait for a larger lane.
At its end a process waits for a second, if what it has recorded would be lost with it. There is one
try a second. While a try may soon succeed, because an answer is on its way or the collector's queue
is full, there is one every 10 ms, for a second at most. A forked child starts over.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import time

from shmetrics import runtime_dir
from shmetrics.binding import layout, refusal
from shmetrics.binding import ring as _ring
from shmetrics.emitter import label_rules
from shmetrics.emitter.problems import problems
from shmetrics.errors import LaneRefused
from shmetrics.notices import Notice
from shmetrics.registration import client, protocol

FIRST_WAIT_NS = 50_000_000
# At its end it waits longer: what no collector has seen by then is lost, and one that is busy with
# other processes may need more than 50 ms.
LAST_WAIT_NS = 1_000_000_000
# Spans are lost until there is a lane, so a late answer should not cost a whole second of them.
# And where many processes keep the queue full, one that asks once a second may ask for minutes.
SOON_FOR_NS = 1_000_000_000
# What has to wait for a larger lane waits for the collector's answer first, a moment each and no
# longer than that together. So a burst of new label sets goes at the pace of the collector.
LARGER_WAIT_NS = 1_000_000
LARGER_WAITS = 50
# Between tries for a larger lane, after the collector has refused one by a quota.
RETRY_NS = 10_000_000_000
MOST_TOO_SMALL = 8
_LASTING = (protocol.Result.UID, protocol.Result.VERSION)  # refusals that no time mends
_REGISTRATION = "registration"  # the reason of the one problem that is noted here


def process_name() -> str:
    """Return the `process` label: SHMETRICS_PROCESS, or the program's name."""
    named = os.environ.get("SHMETRICS_PROCESS")
    if named:
        return named
    try:
        return os.path.basename(sys.argv[0]) or "python"
    except Exception:  # a host may put there what it likes, or nothing
        return "python"


def pid_namespace() -> int:
    """Return the inode of this process's PID namespace; 0 if /proc does not tell."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def _why_none(error: Exception) -> str:
    if isinstance(error, PermissionError):
        return f"no collector for this user: {error.strerror}; see allow_uids"
    if isinstance(error, BlockingIOError):
        return "no collector: too many processes ask for one at this moment"
    return f"no collector: {error}"


def _hello() -> protocol.Hello:
    dictionary_bytes, cells, predecessor = _ring.process_wanted()
    return protocol.Hello(
        layout.LAYOUT_VERSION,
        0,
        process_name(),
        dictionary_bytes=min(dictionary_bytes, layout.LANE_MAX_BYTES),
        cells=min(cells, layout.LANE_MAX_BYTES // layout.CELL_BYTES),
        predecessor=predecessor,
        pid=os.getpid(),
        pid_namespace=pid_namespace(),
    )


def _all_series() -> list[_ring.Series]:
    """Return the series of all families that this process has made, the newest family first."""
    series: list[_ring.Series] = []
    for family in list(_ring.families.values()):
        series.extend(family.children.all())
    series.reverse()
    return series


class Registration:
    """The registration of this process, over all its tries.

    Attributes:
        last_problem: one line on why there is no lane, or "".
    """

    def __init__(self) -> None:
        self.last_problem = refusal
        self._attempt: client.Attempt | None = None
        self._arriving: tuple[int, client.Grant] | None = None  # its pages come
        self._waited_epoch = -1
        self._busy_epoch = -1
        self._hopeful_since_ns: int | None = None
        self._refusals = 0  # one after the other
        self._too_small = 0  # lanes, one after the other
        self._waits = 0  # for answers, since there was one

    def attend(self) -> None:
        """Try to get a lane. The binding calls this; only the first call in a process waits."""
        epoch = _ring.process_epoch()
        if self._busy_epoch == epoch:  # a signal handler or another thread is recording
            return
        self._busy_epoch = epoch  # not a plain flag: a child forked by another thread is not busy
        try:
            first = self._waited_epoch != epoch
            if first:
                self._waited_epoch = epoch
                self._hopeful_since_ns = None
            has_news = problems.look()  # before the lane may be left
            # Attention that was called for the news alone is no reason to ask a collector.
            if first or not has_news or _ring.process_status()["wants_larger"]:
                self._try(FIRST_WAIT_NS if first else self._larger_wait_ns())
        finally:
            self._busy_epoch = -1
            problems.look()  # at what came meanwhile, and found this busy

    def _larger_wait_ns(self) -> int:
        """Return how long an event that has to wait for a larger lane waits for the answer."""
        if self._waits == LARGER_WAITS or not _ring.process_status()["waits"]:
            return 0
        self._waits += 1
        return LARGER_WAIT_NS

    def finish(self) -> None:
        """Try once more at the exit, if the process has recorded what no collector has seen."""
        status = _ring.process_status()
        has = any(map(status.get, ("recorded", "spilled", "gauge_writes")))
        if status.get("waits") or (status["state"] == "private" and has):
            until_ns = time.monotonic_ns() + LAST_WAIT_NS
            with contextlib.suppress(Exception):  # the host's last words are not ours
                self._try(LAST_WAIT_NS)
                self._arrive()
                if self._too_small:  # asked for before all of it was there
                    self._try(max(until_ns - time.monotonic_ns(), 0))
                    self._arrive()
        if _ring.process_status().get("waits"):
            _ring.process_settle(RETRY_NS)
        with contextlib.suppress(Exception):
            problems.look()
            problems.say_last()

    def withdraw(self) -> None:
        """Take back a request whose answer is not used yet. A lane that answers it is retired."""
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.close()
        arriving, self._arriving = self._arriving, None
        if arriving is not None:
            arriving[1].lane.close()

    def _arrive(self) -> None:
        """Go on with a large lane until all its pages are there."""
        while self._arriving is not None:
            self._attach(*self._arriving)

    @staticmethod
    def _needs_a_lane() -> bool:
        """Return whether there is no lane, or only a closed one, or one that is too small."""
        status = _ring.process_status()
        if status["state"] != "registered":
            return True
        if status["closed"]:
            _ring.process_detach()
        return status["closed"] or status["wants_larger"]

    def _asked_epoch(self) -> int | None:
        """Return the number of the process that asked for a lane; None: nothing is asked."""
        if self._arriving is not None:
            return self._arriving[0]
        return None if self._attempt is None else self._attempt.epoch

    def _try(self, wait_ns: int) -> None:
        if not self._needs_a_lane():
            return  # another thread was faster
        if self._asked_epoch() not in (None, _ring.process_epoch()):
            self.withdraw()  # our parent's
        if self._arriving is not None:
            self._attach(*self._arriving)
            return
        attempt, self._attempt = self._attempt, None
        try:
            if attempt is None:
                attempt = client.Attempt(
                    os.path.join(runtime_dir.find(), runtime_dir.SOCKET_NAME), _hello()
                )
                self._hopeful_since_ns = None  # connected, which is progress
            answer = attempt.answer(wait_ns)
        except (OSError, protocol.ProtocolError) as error:
            if attempt is not None:
                attempt.close()
            self.last_problem = _why_none(error)
            self._look_again(soon=isinstance(error, BlockingIOError))
            return
        if answer is None:
            self._attempt = attempt
            self._note_wait()
            self._look_again(soon=True)
            return
        self._look_again(soon=False)
        self._waits = 0
        if isinstance(answer, client.Grant):
            self._attach(attempt.epoch, answer)
        else:
            attempt.close()
            self.last_problem = f"refused ({answer.result.name.lower()}): {answer.text}"
            self._refusals += 1
            self._note_refusal(answer)
            if answer.result is protocol.Result.QUOTA:
                problems.refusal = answer.text
                self._give_up_larger()

    def _ask_for_more(self) -> None:
        """Ask for a still larger lane: more has come to wait since this one was asked for."""
        self._too_small += 1
        if self._too_small > MOST_TOO_SMALL:  # the collector gives no larger ones
            _ring.process_settle(RETRY_NS)
        _ring.process_attend_soon()

    def _note_wait(self) -> None:
        """Say that an answer is awaited, unless the last one says more: a refusal."""
        if not self._refusals:
            self.last_problem = (
                "no answer yet to the request for a larger lane"
                if _ring.process_status()["state"] == "registered"
                else "no collector: connected, and no answer yet"
            )

    def _note_refusal(self, answer: protocol.Answer) -> None:
        """Note that there is no lane at all, unless the next try may get one."""
        if _ring.process_status()["state"] == "registered":
            return
        if self._refusals > 1 or answer.result in _LASTING:
            why, _, mend = answer.text.partition("; ")
            cause = f"the collector refuses this process, whose totals are not shown: {why}"
            problems.note(Notice("", _REGISTRATION, cause, mend or "see the collector's log"))

    def _give_up_larger(self) -> None:
        """Stay in the lane that there is, after two refusals.

        The first may be one of a moment, such as too many registrations in a second.
        """
        if self._refusals > 1 and _ring.process_status()["wants_larger"]:
            _ring.process_settle(RETRY_NS)

    def _look_again(self, soon: bool) -> None:
        """Plan the next try.

        Args:
            soon: a try may soon succeed: repeat it in 10 ms, for SOON_FOR_NS at most. Otherwise
                it is repeated in a second.
        """
        if not soon:
            self._hopeful_since_ns = None
            return
        now_ns = time.monotonic_ns()
        if self._hopeful_since_ns is None:
            self._hopeful_since_ns = now_ns
        if now_ns - self._hopeful_since_ns < SOON_FOR_NS:
            _ring.process_attend_soon()

    def _attach(self, epoch: int, grant: client.Grant) -> None:
        self._arriving = None
        try:
            is_first = not _ring.process_wanted()[2]
            if not _ring.process_attach(epoch, grant.lane):
                self._arriving = epoch, grant
                return
            if is_first:
                _ring.declare_all(_all_series())
            else:
                problems.has_room()
            problems.note(Notice("", _REGISTRATION))  # over, if it was refused
            self.last_problem = ""
            self._refusals = self._too_small = 0
        except Exception as error:
            grant.lane.close()
            self.last_problem = f"the lane could not be used: {error}"
            if isinstance(error, LaneRefused) and str(error) == "too_small":
                self._ask_for_more()
            return
        try:
            label_rules.take(grant.text)
        except Exception as error:  # harmless: the collector applies them as well
            self.last_problem = f"the collector's label rules could not be used: {error}"


registration = Registration()


def _decorated(function: object, block: _ring.Block | _ring.OpenCall) -> object:
    from shmetrics.emitter.decorator import decorated  # loads much that few need

    found: object = decorated(function, block)
    return found


def start() -> None:
    """Prepare this process to record. It asks for no lane before its first record."""
    _ring.process_init(os.environ.get("SHMETRICS_DISABLE") == "1", registration.attend)
    _ring.decorate_by(_decorated)
    atexit.register(registration.finish)


def status() -> dict[str, object]:
    """Return how the recording of this process stands.

    Returns:
        A dictionary with these keys:

        - `connected`: whether a collector has given the process a lane.
        - `lane`: the id of that lane, or None.
        - `recorded`: events recorded so far in this lane, in its ring or in its totals.
        - `spilled`: those of them that were added to totals because the ring was full or there
          was no collector. Counters need no ring: their events are not among them.
        - `overflowed`: those of them that count under `__overflow__`, because there was no room
          for their labels.
        - `gauge_writes`: writes of gauges.
        - `dropped`: events that could not be kept, by cause.
        - `disabled`: whether nothing is recorded, because of SHMETRICS_DISABLE=1 or because of
          `problem`.
        - `problem`: one line on why there is no lane, or why the collector's label rules are not
          applied here.
        - `problems`: what is wrong with metrics of this process: a list of dictionaries with
          `metric`, `cause` and `mend`. Each is one line in the log `shmetrics`, too.
        - `registration_errors`: unexpected failures of the registration.
    """
    problems.look()
    found = _ring.process_status()
    connected = found["state"] == "registered"
    return {
        "connected": connected,
        "disabled": found["disabled"],
        "lane": found["lane"] if connected else None,
        "recorded": found.get("recorded", 0) + found.get("spilled", 0),
        "spilled": found.get("spilled", 0),
        "overflowed": found.get("overflowed", 0),
        "gauge_writes": found.get("gauge_writes", 0),
        "dropped": {cause: n for cause, n in found.get("dropped", {}).items() if n},
        "registration_errors": found["attention_errors"],
        "problem": registration.last_problem,
        "problems": [problem._asdict() for problem in problems],
    }
