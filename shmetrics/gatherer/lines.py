# SPDX-License-Identifier: Apache-2.0
"""The way of a metric line in the gatherer: parsed, checked, recorded as series, and delivered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

from shmetrics import Counter
from shmetrics.delivery.deliveries import Deliveries, Report
from shmetrics.lines.line import LIMITS, Limits, Line, Refused, parse
from shmetrics.lines.owner import Owner, check
from shmetrics.lines.recorder import Described, Recorder
from shmetrics.rate_limited_log import RateLimitedLog
from shmetrics.units.unit import Unit

log = logging.getLogger(__name__)

POLLED: Final = "polled"
PUSHED: Final = "pushed"

_NOTHING: Mapping[str, Described] = {}


class Lines:
    """The place where lines arrive, whoever brings them. It follows each pass over units."""

    part = "lines"

    def __init__(
        self,
        recorder: Recorder,
        deliveries: Deliveries | None = None,
        limits: Limits = LIMITS,
    ) -> None:
        """Set where lines go.

        Args:
            recorder: makes series of them.
            deliveries: sends them on; None: nowhere.
            limits: the bounds of a line.
        """
        self._recorder = recorder
        self._deliveries = deliveries
        self._limits = limits
        self._rate_limited = RateLimitedLog(log)
        self._taken = Counter("shmetrics_unit_lines", "Metric lines that were taken", ["how"])
        self._refused = Counter(
            *("shmetrics_unit_lines_refused", "Metric lines, or metrics of them, that were not"),
            ["reason"],
        )
        self._delivered = Counter(
            "shmetrics_gather_delivered", "Metric lines that were delivered", ["to"]
        )
        self._lost = Counter(
            *("shmetrics_gather_delivery_lost", "Metric lines that could not be delivered"),
            ["to", "reason"],
        )
        self._reported: dict[int, Report] = {}

    def start(self) -> None:
        """Do nothing: lines are taken as they come."""

    async def close(self) -> None:
        """Wait a moment until the last lines are delivered."""
        if self._deliveries is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._deliveries.close)
            self._report()

    def take(
        self,
        owner: Owner,
        text: bytes,
        script: str = "",
        described: Mapping[str, Described] = _NOTHING,
    ) -> None:
        """Take a line of output. Raises nothing: what is wrong with it is counted.

        Args:
            owner: the unit whose line it is, by who ran.
            text: the line.
            script: the script of the unit that has printed it; "": none, it was pushed.
            described: what the unit's manifest says of its metrics, by name.
        """
        try:
            line = parse(text, self._limits)
            if line is None:
                return
            check(line, owner)
        except Refused as why:
            self.refuse(owner, why)
            return
        recorded = self._recorder.record(owner, line, described, script)
        for refused in recorded.refused:
            self.refuse(owner, refused)
        if recorded.line.metrics:
            self._taken.labels(POLLED if script else PUSHED).inc()
            if self._deliveries is not None:
                self._deliveries.put(owner, recorded.line)

    def deliver(self, owner: Owner, line: Line) -> None:
        """Deliver a line whose metrics have series of their own."""
        if self._deliveries is not None:
            self._deliveries.put(owner, line)

    def refuse(self, owner: Owner, why: Refused) -> None:
        """Count a line, or a part of one, that is not taken, and say so once a minute."""
        self._refused.labels(why.reason).inc()
        self._rate_limited.warning(
            why.reason,
            f"a line of {owner.kind} {owner.unit} is refused: {why}",
            culprit=(owner.kind, owner.unit),
        )

    def count(self, reason: str) -> None:
        """Count what did not become a line."""
        self._refused.labels(reason).inc()

    def end_run(self, unit: str, kind: str, script: str) -> None:
        """Remove the series that a script has printed before, and not in its run just now."""
        self._recorder.end_run(unit, kind, script)

    def forget(self, unit: str, kind: str, script: str | None = None) -> None:
        """Remove the series of a unit that is gone, or of one of its scripts."""
        self._recorder.forget(unit, kind, script)

    def record(self, units: Mapping[str, Unit]) -> None:
        """Remove what is stale; count what was delivered and lost since the pass before."""
        self._recorder.expire()
        self._report()

    def _report(self) -> None:
        if self._deliveries is None:
            return
        for place, now in enumerate(self._deliveries.reports()):
            before = self._reported.get(place)
            self._delivered.labels(now.to).inc(now.sent - (before.sent if before else 0))
            for reason, n in now.lost.items():
                self._lost.labels(now.to, reason).inc(n - (before.lost[reason] if before else 0))
            self._reported[place] = now
