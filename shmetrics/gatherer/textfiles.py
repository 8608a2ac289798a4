# SPDX-License-Identifier: Apache-2.0
"""The text files of node_exporter's directories, as series."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from shmetrics import Gauge
from shmetrics.gatherer.samples import Samples
from shmetrics.probes.textfile import TextFiles
from shmetrics.rate_limited_log import RateLimitedLog
from shmetrics.units.unit import Unit

log = logging.getLogger(__name__)


class TextfileSeries:
    """The series of the text files, which are read at each pass over units."""

    part = "textfiles"

    def __init__(
        self,
        directories: Sequence[str],
        stale_seconds: float,
        samples: Samples,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Set where they are.

        Args:
            directories: the directories.
            stale_seconds: the age from which a file says nothing any more.
            samples: records what they say.
            clock: returns the time of day, in seconds since 1970.
        """
        self._files = TextFiles(directories, stale_seconds)
        self._samples = samples
        self._clock = clock
        self._rate_limited = RateLimitedLog(log)
        self._age = Gauge(
            *("shmetrics_gather_textfile_age_seconds", "Time since a text file was written"),
            ["file"],
            multiprocess_mode="livemostrecent",
        )
        self._known: set[str] = set()

    def record(self, units: Mapping[str, Unit]) -> None:
        """Read all files. A file that is gone or stale takes its series along."""
        files, problems = self._files.read(self._clock())
        found = {file.path for file in files}
        for file in files:
            self._age.labels(file.path).set(file.age_seconds)
            self._samples.record(file.path, file.families, {"file": file.path})
            if file.problem:
                problems.append(file.problem)
        for gone in self._known - found:
            self._age.remove(gone)
            self._samples.forget(gone)
        self._known = found
        for problem in problems:
            self._rate_limited.warning(problem.partition(":")[0], problem)
