# SPDX-License-Identifier: Apache-2.0
"""The limits of all probes of a gatherer."""

from __future__ import annotations

from typing import NamedTuple

from shmetrics.probes.output import Bounds


class ProbeLimits(NamedTuple):
    """The limits of all probes.

    Attributes:
        most_at_once: how many may run at a time; no more than spawner.most_at_once.
        unit_seconds: how long all probes of one unit together may run in an interval.
        interval_seconds: the length of that interval.
        bounds: how much each run may print.
    """

    most_at_once: int = 8
    unit_seconds: float = 3.0
    interval_seconds: float = 60.0
    bounds: Bounds = Bounds()
