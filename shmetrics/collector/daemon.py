# SPDX-License-Identifier: Apache-2.0
"""The daemon: one asyncio loop that joins collector, registration socket and HTTP server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shmetrics import runtime_dir
from shmetrics.collector import malloc
from shmetrics.collector.collector import Collector, Settings
from shmetrics.collector.directory import Directory, DirectoryError, half_of_file_system
from shmetrics.collector.rlimits import lanes_that_fit
from shmetrics.collector.systemd import beat_seconds, notify
from shmetrics.collector.tracing import Tracing
from shmetrics.collector.wiring import WebObserver, WebService
from shmetrics.config import Config
from shmetrics.destinations.forwarders import Forwarders
from shmetrics.label_rules.rule import Rule, encode
from shmetrics.lanes.deaths import LoopDeaths
from shmetrics.lanes.kicks import Kicks, LoopKicks
from shmetrics.lanes.lane_files import Sizes
from shmetrics.lanes.lane_quota import LaneLimits
from shmetrics.lanes.lanes import LaneSettings
from shmetrics.rate_limited_log import RateLimitedLog
from shmetrics.registration.admission import Admission, Allowed
from shmetrics.registration.pending_connections import MAX_PENDING
from shmetrics.registration.protocol import TEXT_MAX_BYTES
from shmetrics.registration.server import Server as RegistrationServer
from shmetrics.sources.oslo_metrics import FAMILIES, Listener, Receiver
from shmetrics.store.histograms import CallFamily
from shmetrics.store.limits import Limits
from shmetrics.store.self_metrics import SelfMetrics
from shmetrics.store.shares import owner_of
from shmetrics.version import __version__

log = logging.getLogger(__name__)

# The time that a thread may run Python code while another one waits. Python's default is 5 ms: in
# this time a ring is full at a million events per second, and the thread that writes traces may be
# busy for seconds.
SWITCH_SECONDS = 0.0001


class WebMetrics(WebObserver):
    """Counts what the web server reports, in the collector's metrics about itself."""

    def __init__(self, self_metrics: SelfMetrics) -> None:
        """Count into these metrics."""
        self._self_metrics = self_metrics

    def scraped(self, seconds: float, size_bytes: int) -> None:
        """Count a scrape that took so many seconds, and the bytes of its text."""
        self._self_metrics.scrapes.inc()
        self._self_metrics.scrape_seconds.observe(seconds)
        self._self_metrics.scrape_bytes.set(size_bytes)

    def rendered(self) -> None:
        """Count that the numbers of a scrape were taken."""
        self._self_metrics.renderings.inc()

    def refused(self, reason: str) -> None:
        """Count an HTTP client that was refused or cut off."""
        self._self_metrics.http_refused.labels(reason).inc()

    def reloaded(self, result: str) -> None:
        """Count a change of the web configuration file."""
        self._self_metrics.web_config_reloads.labels(result).inc()


class Faults:
    """Logs exceptions that no code has caught, each kind at most once a minute.

    A client may be able to repeat one without end, and the event loop itself would log a traceback
    for each.
    """

    def __init__(self, rate_limited: RateLimitedLog) -> None:
        """Log through a log with a rate limit."""
        self._rate_limited = rate_limited

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log an exception, as an asyncio exception handler."""
        error, message = context.get("exception"), context["message"]
        kind = type(error).__name__
        self._rate_limited.warning(
            (message, kind), f"{message}: {kind}: {error}" if error else message
        )
        log.debug("%s", message, exc_info=error)


def open_directory(config: Config) -> Directory:
    """Make and lock the runtime directory; let those search it who may register.

    Raises DirectoryError.
    """
    path = Path(config.runtime_dir or runtime_dir.choose())
    registration = config.registration
    if not registration.lets_others_in():
        return Directory(path)
    access = registration.socket_access()
    return Directory(path, access.search_mode, access.group)


def settings_of(config: Config, lanes_dir: Path) -> Settings:
    """Return the collector's settings from a configuration, as far as this node allows them."""
    sizes = Sizes(
        config.lane.records,
        config.lane.dictionary_bytes,
        config.lane.cells,
        config.lane.open_calls,
    )
    registration = config.registration
    limits = LaneLimits(
        lanes_that_fit(registration.max_lanes, MAX_PENDING + config.web.max_connections),
        registration.max_lanes_per_uid,
        registration.max_lane_bytes or half_of_file_system(lanes_dir),
    )
    return Settings(
        config.store.max_bytes,
        Limits(
            config.store.max_series_per_family,
            config.store.max_label_bytes,
            config.store.max_families,
            config.store.max_families_per_lane,
            config.store.max_series_per_lane,
            config.store.max_exemplars,
            config.store.native_histograms,
            config.store.max_families_per_uid,
        ),
        LaneSettings(sizes, limits),
        config.store.series_idle_seconds,
        label_rules_of(config),
        config.store.max_bytes_per_uid or config.store.max_bytes // 2,
    )


def label_rules_of(config: Config) -> tuple[Rule, ...]:
    """Return the label rules of a configuration, in their order."""
    return tuple(section.rule() for section in config.labels)


def oslo_metrics_families(collector: Collector) -> dict[str, tuple[CallFamily, tuple[str, ...]]]:
    """Make the families of the oslo.metrics protocol, and hold them as long as the collector runs.

    Returns:
        Each family and its label names, by the family's name.
    """
    families = {}
    for definition in FAMILIES:
        family = collector.families.define(definition, owner_of(os.geteuid()))
        if isinstance(family, CallFamily):
            family.hold()
            families[definition.name] = family, definition.label_names
    return families


class Daemon:
    """Everything that is open while the collector runs."""

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
            traces = None if tracing is None else tracing.traces
            self._service = WebService(self.collector, config, WebMetrics(self_metrics), traces)
            self._web = self._service.server
            opened.callback(self._web.close)
            self_metrics.quota(
                "http_connections", config.web.max_connections, lambda: self._web.connections
            )
            if config.oslo_metrics_socket:
                opened.callback(self._open_oslo_metrics(self_metrics).close)
            self._registration = self._open_registration(self_metrics)
            opened.callback(self._registration.close)
            self.collector.add_obstacle(self._registration.obstacle)
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
        forwarders = Forwarders(to.settings() for to in config.forward)
        return Tracing(path, config.limits(), self_metrics, forwarders)

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

    def _open_oslo_metrics(self, self_metrics: SelfMetrics) -> Listener:
        """Return the listener for oslo.metrics datagrams, which listens already."""
        receiver = Receiver(
            oslo_metrics_families(self.collector),
            lambda result: self_metrics.datagrams.labels(result).inc(),
        )
        config = self._config
        listener = Listener(config.oslo_metrics_socket, config.oslo_metrics_access(), receiver.take)
        listener.start(self._loop)
        return listener

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
        self._announce()
        ready(f"{self.url} ({self._service.exposure})")
        tasks = stopping, serving, ticking
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        notify("STOPPING=1")
        self.collector.stop("stopping")
        stopping.cancel()
        ticking.cancel()
        self._web.stop()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result

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
