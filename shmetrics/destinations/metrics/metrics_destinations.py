# SPDX-License-Identifier: Apache-2.0
"""All destinations of the metrics of the node. One that is slow or down delays none of the others.

The collector's loop takes a snapshot when some destinations are due; a thread makes of it what each
of these is sent; and each has a thread that sends.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from shmetrics.config.metrics_forward import MetricsForward
from shmetrics.destinations.metrics.encoder import PARTS, Part
from shmetrics.destinations.metrics.exporter import Exporter, exporter_of
from shmetrics.destinations.metrics.snapshot import Selection, Snapshot
from shmetrics.forwarding.forwarder import STOP_SECONDS, Forwarder, Limits, stop_all
from shmetrics.forwarding.report import Report
from shmetrics.rate_limited_log import RateLimitedLog
from shmetrics.tables.table import Table

log = logging.getLogger(__name__)


class MetricsDestinations:
    """The destinations. take() is for one thread, and so is close()."""

    def __init__(
        self,
        settings: Iterable[MetricsForward],
        constant_labels: Mapping[str, str],
        monotonic: Callable[[], float] = time.monotonic,
        time_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Begin. Nothing is sent before the first take().

        Args:
            settings: the destinations.
            constant_labels: the labels that every series has on /metrics.
            monotonic: the clock by which destinations are due, in seconds.
            time_ns: the wall clock.

        Raises:
            ConfigError: a file of a destination cannot be used.
            ImportError: a library is not installed.
        """
        self._monotonic = monotonic
        self._time_ns = time_ns
        exporters = [(one, exporter_of(one, constant_labels, time_ns())) for one in settings]
        now = monotonic()
        self._destinations = [_Destination(one, exporter, now) for one, exporter in exporters]
        self._rate_limited = RateLimitedLog(log)
        self._to_encode: queue.SimpleQueue[tuple[Snapshot, Sequence[_Destination]] | None]
        self._to_encode = queue.SimpleQueue()
        self._is_idle = threading.Event()
        self._is_idle.set()
        self._thread = threading.Thread(target=self._run, name="shmetrics-encode", daemon=True)
        if self._destinations:
            self._thread.start()

    def seconds_to_next(self) -> float | None:
        """Return how long it is until a destination is due; None without destinations."""
        if not self._destinations:
            return None
        return max(min(one.due_at for one in self._destinations) - self._monotonic(), 0.0)

    def take(self, tables: Callable[[], Sequence[Table]]) -> None:
        """Take a snapshot, if a destination is due. Never waits for one.

        Args:
            tables: returns what a scrape of this moment shows.
        """
        now = self._monotonic()
        due = [one for one in self._destinations if one.is_due(now)]
        for one in due:
            one.go_on(now)
        if due:
            self._take(tables, due)

    def take_last(self, tables: Callable[[], Sequence[Table]]) -> None:
        """Take a snapshot for destinations of deltas: the next collector does not know what of its
        totals was sent."""
        deltas = [one for one in self._destinations if one.is_delta]
        if deltas and self.wait(STOP_SECONDS):
            self._take(tables, deltas)

    def _take(self, tables: Callable[[], Sequence[Table]], due: Sequence[_Destination]) -> None:
        """Take a snapshot for some destinations."""
        if not self._is_idle.is_set():  # the last one is not even encoded
            self._rate_limited.warning("", "a snapshot is left out: the one before takes too long")
            return
        time_ns = self._time_ns()  # before what is drained for it begins to count
        try:
            snapshot = Snapshot.of(tables(), time_ns, time.monotonic())
        except ValueError as error:
            self._rate_limited.warning("", f"a snapshot is left out: {error}")
            return
        self._is_idle.clear()
        self._to_encode.put((snapshot, due))

    def wait(self, seconds: float) -> bool:
        """Wait until the last snapshot is encoded; return whether it is."""
        return self._is_idle.wait(seconds)

    def reports(self) -> list[Report]:
        """Return the report of each destination."""
        return [one.report() for one in self._destinations]

    def close(self, seconds: float = STOP_SECONDS) -> None:
        """Stop all at the same time, with this many seconds for what waits."""
        deadline = time.monotonic() + seconds
        if self._destinations:
            self._to_encode.put(None)
            self._thread.join(seconds)
        forwarders = [one.forwarder for one in self._destinations]
        stop_all(forwarders, max(deadline - time.monotonic(), 0.0))

    # ---- in the thread ----------------------------------------------------------------------

    def _run(self) -> None:
        while (job := self._to_encode.get()) is not None:
            snapshot, due = job
            for one in due:
                try:
                    one.put(snapshot)
                except Exception as error:
                    why = f"{one.name}: a snapshot is left out: {type(error).__name__}: {error}"
                    self._rate_limited.warning(one.name, why)
            del snapshot, job  # it is large
            self._is_idle.set()


class _Destination:
    """One destination: its share of snapshots, and when it is due."""

    def __init__(self, settings: MetricsForward, exporter: Exporter, now: float) -> None:
        self.name = settings.to
        self.due_at = now
        self.is_delta = exporter.is_delta
        self._interval_seconds = settings.interval_seconds
        self._selection = Selection(settings.families)
        self._encoder = exporter.encoder
        self._n_unfit = 0
        limits = Limits(
            batch_items=1,
            batch_seconds=0.0,
            waiting_bytes=settings.max_waiting_bytes,
            give_up_seconds=settings.give_up_seconds,
        )
        self.forwarder: Forwarder[Part, Part] = Forwarder(self.name, exporter.sender, PARTS, limits)

    def is_due(self, now: float) -> bool:
        return now >= self.due_at

    def go_on(self, now: float) -> None:
        """Be due again at the next multiple of the interval; what was missed is not made up for."""
        n = (now - self.due_at) // self._interval_seconds + 1
        self.due_at += n * self._interval_seconds

    def put(self, snapshot: Snapshot) -> None:
        if self.is_delta and self.forwarder.counts().waiting:
            return  # the next one has what has come meanwhile, too
        encoded = self._encoder.encode(snapshot.only(self._selection))
        self._n_unfit += encoded.n_unfit
        self.forwarder.put(encoded.parts)

    def report(self) -> Report:
        return self.forwarder.report()._replace(n_unfit=self._n_unfit)
