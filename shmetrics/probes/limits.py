# SPDX-License-Identifier: Apache-2.0
"""Rules for all probes of a gatherer, and those who take what comes of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from shmetrics.probes.output import Bounds
from shmetrics.probes.probe import Probe, Result

if TYPE_CHECKING:
    from prometheus_client import Metric


class Takers(NamedTuple):
    """The functions that take what comes of probes. Each is called in the loop, and is quick.

    Attributes:
        line: takes a probe and a complete line, without newline, that is UTF-8 and has no control
            characters but tabs.
        families: takes a probe of format "prometheus" and all that one run of it has printed.
        files: takes a probe of format "files" and all lines that one run of it has printed.
        result: takes how each run went; also one that could not be started.
    """

    line: Callable[[Probe, bytes], None]
    families: Callable[[Probe, list[Metric]], None]
    files: Callable[[Probe, list[bytes]], None]
    result: Callable[[Result], None]


class Rules(NamedTuple):
    """The limits of all probes.

    Attributes:
        most_at_once: the most that run at a time; no more than spawner.most_at_once.
        unit_seconds: what all probes of one unit together may take in an interval.
        interval_seconds: that interval.
        bounds: how much each run may print.
    """

    most_at_once: int = 8
    unit_seconds: float = 3.0
    interval_seconds: float = 60.0
    bounds: Bounds = Bounds()


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
