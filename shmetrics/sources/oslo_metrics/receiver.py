# SPDX-License-Identifier: Apache-2.0
"""The receiver of datagrams, which adds them to the families of calls. It never raises.

A process whose lane has a family counts there, and its datagrams of that family are left out. Its
first call sends one just before its first record. So what comes from a process without such a lane
waits for a moment, and then the lanes are looked at once more.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from shmetrics.rate_limited_log import RateLimitedLog
from shmetrics.sources.oslo_metrics.message import CallEvent, Refused, decode
from shmetrics.sources.source import TAKEN, Count

log = logging.getLogger(__name__)

EXCEPTION_LABEL = "exception"
WAIT_SECONDS = 1.0
MOST_WAITING = 10_000  # beyond that the oldest waits no longer


class CallFamily(Protocol):
    """The methods of a family of calls that the receiver needs."""

    def start(self, values: tuple[str, ...], /) -> None: ...
    def end(self, values: tuple[str, ...], /) -> None: ...
    def observe(self, values: tuple[str, ...], seconds: float, /) -> None: ...
    def exception(self, values: tuple[str, ...], exception: str, /) -> None: ...


class Lanes(Protocol):
    """The lanes, as far as the receiver needs them."""

    def drain(self) -> None:
        """Read what is new in all lanes."""

    def is_recorded(self, pid: int, family: str) -> bool:
        """Return whether a process records a family in its lane, as of the last drain."""


class Waiting(NamedTuple):
    """An event that waits until it is known whether a lane has it, and since when."""

    seconds: float
    pid: int
    event: CallEvent


class Receiver:
    """A receiver of datagrams. It adds them to the families of calls, and counts them by result."""

    def __init__(
        self,
        families: Mapping[str, tuple[CallFamily, tuple[str, ...]]],
        count: Count,
        lanes: Lanes,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set where datagrams go.

        Args:
            families: the families by their prefix, each with the names of its labels.
            count: called for each datagram with its result: "taken", or the reason of a refusal.
            lanes: knows what processes record in lanes.
            monotonic: the clock.
        """
        self._families = families
        self._count = count
        self._lanes = lanes
        self._monotonic = monotonic
        self._waiting: deque[Waiting] = deque()
        self._rate_limited = RateLimitedLog(log)

    def take(self, datagram: bytes, cut_short: bool = False, pid: int = 0) -> None:
        """Add one datagram, at once or by settle(). Never raises.

        Args:
            datagram: its bytes.
            cut_short: the socket could not deliver all of it.
            pid: the process that has sent it; 0: not known, and it counts.
        """
        try:
            if cut_short:
                raise Refused("oversized", f"a datagram of more than {len(datagram)} bytes")
            event = decode(datagram)
        except Refused as refused:
            self._refuse(refused.reason, str(refused))
            return
        if not pid or self._lanes.is_recorded(pid, event.family):
            self._settle(pid, event, is_recorded=bool(pid))
            return
        if len(self._waiting) >= MOST_WAITING:
            oldest = self._waiting.popleft()
            self._settle(oldest.pid, oldest.event, is_recorded=False)
        self._waiting.append(Waiting(self._monotonic(), pid, event))

    def settle(self, is_last: bool = False) -> None:
        """Add what has waited long enough, or leave it out. Never raises.

        Args:
            is_last: whether the rest waits no longer, either.
        """
        now = self._monotonic()
        if not self._waiting or not (is_last or self._is_due(now)):
            return
        self._lanes.drain()
        while self._waiting and (is_last or self._is_due(now)):
            _, pid, event = self._waiting.popleft()
            self._settle(pid, event, self._lanes.is_recorded(pid, event.family))

    def _is_due(self, now: float) -> bool:
        return now - self._waiting[0].seconds >= WAIT_SECONDS

    def _settle(self, pid: int, event: CallEvent, is_recorded: bool) -> None:
        """Add an event, or leave it out because its process records it in a lane."""
        try:
            if is_recorded:
                raise Refused(
                    "recorded",
                    f"pid {pid} records its calls in a lane as well, and they count there; set "
                    "[oslo_messaging_metrics] metrics_enabled = false in its configuration",
                )
            self._fold(event)
            self._count(TAKEN)
        except Refused as refused:
            self._refuse(refused.reason, str(refused))
        except Exception as error:  # the store is full, or our code is wrong: the socket stays
            self._refuse("failed", f"{type(error).__name__}: {error}")

    def _fold(self, event: CallEvent) -> None:
        family, names = self._families[event.family]
        given = event.labels
        exception = given.pop(EXCEPTION_LABEL, "") if event.verb == "exception" else ""
        unknown = given.keys() - set(names)
        if unknown:
            raise Refused("bad_labels", f"{event.family} has no label {min(unknown)!r}")
        values = tuple(given.get(name, "") for name in names)
        if event.verb == "start":
            family.start(values)
        elif event.verb == "end":
            family.end(values)
        elif event.verb == "observe":
            family.observe(values, event.seconds)
        else:
            family.exception(values, exception)

    def _refuse(self, reason: str, text: str) -> None:
        self._count(reason)
        self._rate_limited.warning(reason, f"oslo.metrics datagram refused ({reason}): {text}")
