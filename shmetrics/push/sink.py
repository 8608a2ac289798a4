# SPDX-License-Identifier: Apache-2.0
"""The way of a program's lines: to the gatherer if there is one, or into a lane of our own.

An emitter like any other needs no gatherer. But the gatherer knows the unit, and delivers lines to
logs as well; so it has them if it can.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from shmetrics.lines.line import LIMITS, Limits, Refused, parse
from shmetrics.lines.owner import Owner, check
from shmetrics.push.client import GathererRefuses, LineClient

KIND: Final = "program"
TAKEN: Final = "taken"
LOOK_AGAIN_SECONDS: Final = 10.0
#: What OpenShift says of a gear to the programs in it, as METRICS_METADATA names it by default.
OPENSHIFT: Final = {
    "appName": "OPENSHIFT_APP_NAME",
    "gear": "OPENSHIFT_GEAR_UUID",
    "app": "OPENSHIFT_APP_UUID",
    "ns": "OPENSHIFT_NAMESPACE",
}


def where_lines_go(refusal: str) -> str:
    """Return a line for people on a gatherer that takes none of this process."""
    return f"lines go into a lane of this process: {refusal}"


class Sink:
    """The sink of one program's lines, for one thread.

    Attributes:
        results: how many metric lines were `taken`, and how many refused, by reason.
        examples: of each reason, what was wrong with the first line, for people.
        refusal: why the gatherer does not take lines; "" if it does, or there is none.
    """

    def __init__(
        self,
        unit: str,
        is_named: bool,
        limits: Limits = LIMITS,
        tell: Callable[[str], None] = lambda text: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin without a connection.

        Args:
            unit: the name of the unit.
            is_named: whether a user has chosen it, and not the name of the program.
            limits: the bounds of lines.
            tell: called at most once, with one line for people: the gatherer refuses this process.
            monotonic: a clock, in seconds.
        """
        self.results: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.refusal = ""
        known = {key: os.environ[name] for key, name in OPENSHIFT.items() if name in os.environ}
        self._owner = Owner(unit, KIND, known)
        self._claim = unit if is_named else ""
        self._limits = limits
        self._tell: Callable[[str], None] | None = tell
        self._monotonic = monotonic
        self._client: LineClient | None = None
        self._look_at = monotonic()  # for a gatherer
        self._lane: _Lane | None = None

    def take(self, text: bytes) -> None:
        """Take a line if it is a metric line."""
        try:
            line = parse(text, self._limits)
            if line is None or self._handed_over(text):
                self.results[TAKEN] += line is not None
                return
            check(line, self._owner)
        except Refused as why:
            self._refuse(why)
            return
        recorded = self._own_lane().recorder.record(self._owner, line)
        for refused in recorded.refused:
            self._refuse(refused)
        if recorded.line.metrics:
            self._count(TAKEN)

    def close(self, lost_bytes: int = 0) -> None:
        """Let the gatherer take what was sent; lost_bytes: of output that was not looked at."""
        if self._client is not None:
            self._client.close()
        if lost_bytes:
            self._own_lane().lost_bytes.inc(lost_bytes)

    def _refuse(self, why: Refused) -> None:
        self.examples.setdefault(why.reason, str(why))
        self._count(why.reason)

    def _count(self, result: str) -> None:
        self.results[result] += 1
        self._own_lane().lines.labels(result).inc()

    def _handed_over(self, text: bytes) -> bool:
        """Return whether the gatherer has taken a line; otherwise it is ours to record."""
        if self._client is None and self._monotonic() >= self._look_at:
            self._look_at = self._monotonic() + LOOK_AGAIN_SECONDS
            try:
                self._client = LineClient(self._claim)
                self.refusal = ""
            except OSError as error:
                self.refusal = "" if isinstance(error, FileNotFoundError) else str(error)
                if isinstance(error, GathererRefuses) and self._tell is not None:
                    self._tell(where_lines_go(self.refusal))
                    self._tell = None
        if self._client is None:
            return False
        try:
            self._client.send(text)
        except OSError as error:
            self.refusal = str(error)
            self._client.close()
            self._client = None
            return False
        return True

    def _own_lane(self) -> _Lane:
        # A program that prints no metric has no lane.
        self._lane = self._lane or _Lane()
        return self._lane


class _Lane:
    """A lane in which this process records lines itself."""

    def __init__(self) -> None:
        from shmetrics.emitter import instruments
        from shmetrics.lines.recorder import Recorder

        # The values outlive this process, which may be no more than an echo.
        self.recorder = Recorder(mode="mostrecent")
        self.lines = instruments.Counter(
            "metric_lines", "Metric lines in output of programs, by what became of them", ["result"]
        )
        self.lost_bytes = instruments.Counter(
            "metric_lines_unseen_bytes",
            "Output that came too fast to be looked through for metric lines",
        )
