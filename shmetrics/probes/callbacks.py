# SPDX-License-Identifier: Apache-2.0
"""The callbacks of probes: they get what probes print, and the results of their runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from shmetrics.probes.probe import Probe, Result

if TYPE_CHECKING:
    from prometheus_client import Metric


class Callbacks(NamedTuple):
    """The callbacks. Each is called in the asyncio loop, and must be quick.

    Attributes:
        line: gets a probe and a complete line, without newline, that is UTF-8 and has no control
            characters but tabs.
        families: gets a probe of format "prometheus" and all metrics that one run has printed.
        files: gets a probe of format "files" and all lines that one run has printed.
        result: gets the result of each run, also of one that could not be started.
    """

    line: Callable[[Probe, bytes], None]
    families: Callable[[Probe, list[Metric]], None]
    files: Callable[[Probe, list[bytes]], None]
    result: Callable[[Result], None]
