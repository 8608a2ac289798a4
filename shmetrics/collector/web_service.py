# SPDX-License-Identifier: Apache-2.0
"""The web service of the collector: pages, access rules, passwords and server, wired together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from shmetrics.config import Config
from shmetrics.http import exposure
from shmetrics.http.access_rules import AccessRules
from shmetrics.http.auth import Auth
from shmetrics.http.observer import Observer
from shmetrics.http.passwords import Passwords
from shmetrics.http.server import Server
from shmetrics.store.self_metrics import SelfMetrics
from shmetrics.web.app import make_app
from shmetrics.web.node_view import NodeView
from shmetrics.web.scrape_observer import ScrapeObserver
from shmetrics.web.trace_routes import TraceView

log = logging.getLogger(__name__)


class WebObserver(Observer, ScrapeObserver, Protocol):
    """The observer of the server's events and of scrapes."""


class WebMetrics(WebObserver):
    """The counters of the web server's reports, in the collector's metrics about itself."""

    def __init__(self, self_metrics: SelfMetrics) -> None:
        """Count into these metrics."""
        self._self_metrics = self_metrics
        self._left_out: dict[str, dict[str, str]] = {}  # by escaping, as of its latest scrape

    def scraped(self, seconds: float, size_bytes: int) -> None:
        """Count a scrape that took so many seconds, and the bytes of its text."""
        self._self_metrics.scrapes.inc()
        self._self_metrics.scrape_seconds.observe(seconds)
        self._self_metrics.scrape_bytes.set(size_bytes)

    def rendered(self) -> None:
        """Count that the numbers of a scrape were taken."""
        self._self_metrics.renderings.inc()

    def left_out(self, escaping: str, families: Mapping[str, str]) -> None:
        """Count the families that an answer could not show, and log those that are new."""
        self._self_metrics.left_out.labels(escaping).set(len(families))
        before = self._left_out.get(escaping, {})
        self._left_out[escaping] = dict(families)
        for family, reason in families.items():
            if before.get(family) == reason:
                continue
            self._self_metrics.rate_limited.warning(
                ("left out", escaping, family),
                f"{family}: left out of scrapes with escaping={escaping}: {reason}; "
                "rename it, or let Prometheus ask for escaping=allow-utf-8",
            )

    def refused(self, reason: str) -> None:
        """Count an HTTP client that was refused or cut off."""
        self._self_metrics.http_refused.labels(reason).inc()

    def reloaded(self, result: str) -> None:
        """Count a change of the web configuration file."""
        self._self_metrics.web_config_reloads.labels(result).inc()


class WebService:
    """The web service, as the daemon opens it.

    Attributes:
        server: Bound, and to be closed by the daemon.
        exposure: the clients that can reach the server, in words.
    """

    def __init__(
        self,
        node: NodeView,
        config: Config,
        observer: WebObserver,
        traces: TraceView | None = None,
        destinations: Callable[[], list[dict[str, object]]] = list,
    ) -> None:
        """Read the web configuration file and bind the address.

        Args:
            node: The collector.
            config: Of the whole collector.
            observer: Told of scrapes, refusals and changes of the file.
            traces: The trace store; None without traces.
            destinations: Returns one dictionary per destination of spans or metrics.

        Raises:
            ShmetricsError: One line: the file is wrong, or the address cannot be had.
        """
        self._access = access = AccessRules(config.web_config, observer)
        app = make_app(
            node, config.constant_labels, observer, traces, config.web.created_samples, destinations
        )
        auth = Auth(app, access, Passwords(), observer)
        self.server = Server(auth, config.address, config.web, access, observer)
        self.exposure = exposure.describe(self.server.address, access.rules)
        for warning in exposure.warnings(self.server.address, access.rules):
            log.warning("%s", warning)

    async def serve(self) -> None:
        """Answer, and follow changes of the web configuration file, until server.stop()."""
        watching = asyncio.create_task(self._access.watch())
        try:
            await self.server.serve()
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
