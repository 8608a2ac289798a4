# SPDX-License-Identifier: Apache-2.0
"""The daemon: one asyncio loop that joins collector, registration socket and HTTP server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from shmetrics.collector import malloc
from shmetrics.collector.collector import Collector
from shmetrics.collector.control import Control
from shmetrics.collector.directory import DirectoryError
from shmetrics.collector.faults import Faults
from shmetrics.collector.forwarding import ForwardingMetrics, forward
from shmetrics.collector.settings import label_rules_of, open_directory, settings_of
from shmetrics.collector.sources import wanted_sources
from shmetrics.collector.trace_limits import trace_limits
from shmetrics.collector.tracing import Tracing
from shmetrics.collector.web_service import WebMetrics, WebService
from shmetrics.config import Config
from shmetrics.destinations.metrics.metrics_destinations import MetricsDestinations
from shmetrics.destinations.traces.trace_destinations import TraceDestinations
from shmetrics.label_rules.rule import encode
from shmetrics.lanes.deaths import LoopDeaths
from shmetrics.lanes.kicks import Kicks, LoopKicks
from shmetrics.registration.admission import Admission, Allowed
from shmetrics.registration.protocol import TEXT_MAX_BYTES
from shmetrics.registration.server import Server as RegistrationServer
from shmetrics.service_manager import beat_seconds, notify
from shmetrics.store.self_metrics import SelfMetrics
from shmetrics.tables.table import Table
from shmetrics.version import __version__

log = logging.getLogger(__name__)

# The time that a thread may run Python code while another one waits. Python's default is 5 ms: in
# this time a ring is full at a million events per second, and the thread that writes traces may be
# busy for seconds.
SWITCH_SECONDS = 0.0001


class Daemon:
    """The daemon: all rooms that are open while the collector runs."""

    def __init__(self, config: Config) -> None:
        """Open everything, or nothing.

        Args:
            config: the whole configuration.

        Raises:
            ShmetricsError: something cannot be opened; the message is one line for the user.
        """
        self._config = config
        self._is_unannounced = False
        self._loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as opened:
            self_metrics = SelfMetrics(__version__)
            self._loop.set_exception_handler(Faults(self_metrics.rate_limited))
            self._directory = open_directory(config)
            opened.callback(self._directory.close)
            kicks = self._open_kicks()
            opened.callback(kicks.close)
            deaths = LoopDeaths(self._loop, self._retire_ended)
            opened.callback(deaths.close)
            settings = settings_of(config, self._directory.lanes)
            self._tracing = tracing = self._open_tracing(self_metrics)
            if tracing is not None:
                opened.callback(tracing.close)
            self.collector = Collector(
                *(self._directory, settings, self_metrics, kicks, deaths),
                spans=None if tracing is None else tracing.spans,
            )
            opened.callback(self.collector.close)
            if tracing is not None:
                tracing.count()  # count what a kill has lost, before another kill loses that too
            self._destinations = MetricsDestinations(config.metrics.forward, config.constant_labels)
            opened.callback(self._close_destinations)
            if config.metrics.forward:
                self_metrics.registry.register(ForwardingMetrics(self._destinations))
            traces = None if tracing is None else tracing.traces
            self._service = WebService(
                *(self.collector, config, WebMetrics(self_metrics), traces),
                destinations=self._list_destinations,
            )
            self._web = self._service.server
            opened.callback(self._web.close)
            self_metrics.quota(
                "http_connections", config.web.max_connections, lambda: self._web.connections
            )
            for source in wanted_sources(config, self.collector, self_metrics):
                opened.callback(source.close)
                source.start()
            self._registration = self._open_registration(self_metrics)
            opened.callback(self._registration.close)
            self.collector.add_obstacle(self._registration.obstacle)
            control = Control(self._directory.control, self.collector.forget)
            opened.callback(control.close)
            self._opened = opened.pop_all()

    def _open_kicks(self) -> Kicks:
        """Return kicks in the loop, or none if the system has no more watches."""
        try:
            return LoopKicks(self._loop)
        except OSError as error:
            log.warning(
                "no kicks (%s): lanes are drained at ticks only; "
                "see fs.inotify.max_user_instances, and LimitNOFILE",
                error.strerror,
            )
            return Kicks()

    def _open_tracing(self, self_metrics: SelfMetrics) -> Tracing | None:
        """Return the trace store with what belongs to it, or None if traces are switched off."""
        config = self._config.traces
        if not config.enabled:
            return None
        path = Path(config.path or self._directory.traces)
        destinations = TraceDestinations(config.forward)
        return Tracing(path, trace_limits(config), self_metrics, destinations)

    def _open_registration(self, self_metrics: SelfMetrics) -> RegistrationServer:
        """Return the registration server, which listens already."""
        config = self._config.registration
        admission = Admission(
            Allowed(config.uids(), config.gids()),
            config.max_per_second,
            lambda: too_often.inc(),
        )
        too_often = self_metrics.quota(
            "registrations_per_second", config.max_per_second, admission.per_second
        )
        server = RegistrationServer(
            self._directory.socket,
            config.socket_access(),
            admission.refusal,
            self.collector.grant,
            self._retire_ended,
            lambda result: self_metrics.registrations.labels(result).inc(),
            encode(label_rules_of(self._config), TEXT_MAX_BYTES),
        )
        server.start()
        return server

    def _retire_ended(self, lane_id: int, tries: int = 10) -> None:
        """Retire the lane of a process that has ended.

        The kernel reports a death just before it closes the files that the process had mapped, so
        this is tried again for a while.
        """
        if not self.collector.retire_ended(lane_id) and tries:
            self._loop.call_later(0.01, self._retire_ended, lane_id, tries - 1)

    @property
    def url(self) -> str:
        """Return the URL at which the collector serves."""
        return self._web.url

    async def serve(self, ready: Callable[[str], None]) -> None:
        """Run until SIGTERM or SIGINT.

        Args:
            ready: called once everything is open, with the URL and who can reach it.

        Raises:
            Exception: whatever ended a task of the daemon.
        """
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, stop.set)
        stopping = asyncio.create_task(stop.wait())
        serving = asyncio.create_task(self._service.serve())
        ticking = asyncio.create_task(self._tick())
        tasks = [stopping, serving, ticking]
        if self._config.metrics.forward:
            tasks.append(asyncio.create_task(forward(self._destinations, self._all_tables)))
        self._announce()
        ready(f"{self.url} ({self._service.exposure})")
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        notify("STOPPING=1")
        self.collector.stop("stopping")
        for task in tasks:
            if task is not serving:
                task.cancel()
        self._web.stop()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result

    def _close_destinations(self) -> None:
        """Send what has grown since the last snapshot, and close the destinations."""
        self._destinations.take_last(self._all_tables)
        self._destinations.close()

    def _list_destinations(self) -> list[dict[str, object]]:
        """Return one dictionary per destination."""
        reports = [] if self._tracing is None else self._tracing.destinations.reports()
        return [report.plain() for report in (*self._destinations.reports(), *reports)]

    def _all_tables(self) -> list[Table]:
        """Return what a scrape shows, with native buckets."""
        return self.collector.tables(native=True)

    def _announce(self) -> None:
        """Write down where this collector serves.

        If that is not possible, a later tick tries again.
        """
        try:
            self._directory.announce(self.url, __version__)
        except DirectoryError as error:
            if not self._is_unannounced:
                log.warning("%s; commands do not find this collector until that can be", error)
            self._is_unannounced = True
        else:
            self._is_unannounced = False

    async def _tick(self) -> None:
        """Tick until cancelled, and tell the service manager's watchdog of each tick.

        The watchdog hears of nothing else, so it notices a loop that hangs.
        """
        beat = beat_seconds()
        pause = min(self._config.tick_seconds, beat or self._config.tick_seconds)
        while True:
            await asyncio.sleep(pause)
            self.collector.tick()
            if self._is_unannounced:
                self._announce()
            if self._tracing is not None:
                self._tracing.count()
            if beat is not None:
                notify("WATCHDOG=1")

    def close(self) -> None:
        """Close everything, the last opened first."""
        self._opened.close()


async def _run(config: Config, ready: Callable[[str], None]) -> None:
    """Open a daemon, run it, and close it."""
    daemon = Daemon(config)
    try:
        await daemon.serve(ready)
    finally:
        daemon.close()


def run(config: Config, ready: Callable[[str], None]) -> None:
    """Run a collector until a signal ends it.

    Args:
        config: the whole configuration.
        ready: called once everything is open, with the URL and who can reach it.

    Raises:
        ShmetricsError: the collector cannot run; the message is one line for the user.
    """

    def announce(where: str) -> None:
        ready(where)
        notify("READY=1")

    malloc.give_back()
    sys.setswitchinterval(SWITCH_SECONDS)
    asyncio.run(_run(config, announce))
