# SPDX-License-Identifier: Apache-2.0
"""The web put together: the application, what guards it, and the server in front of both."""

from __future__ import annotations

import asyncio
import logging

from shmetrics.config import Config
from shmetrics.http import exposure
from shmetrics.http.access_rules import Entrance
from shmetrics.http.auth import Guard
from shmetrics.http.observer import Counts
from shmetrics.http.passwords import Passwords
from shmetrics.http.server import Server
from shmetrics.web.app import make_app
from shmetrics.web.source import Source
from shmetrics.web.traces import TraceSource

log = logging.getLogger(__name__)


class Front:
    """What the daemon opens and closes."""

    def __init__(
        self, source: Source, config: Config, counts: Counts, traces: TraceSource | None = None
    ) -> None:
        """Binds. Raises ShmetricsError, one line, for the address or the web configuration file."""
        self._entrance = entrance = Entrance(config.web_config, counts)
        app = make_app(source, config.constant_labels, counts, traces)
        guard = Guard(app, entrance, Passwords(), counts)
        self.server = Server(guard, config.address, config.web, entrance, counts)
        self.reach = exposure.describe(self.server.address, entrance.rules)
        for warning in exposure.warnings(self.server.address, entrance.rules):
            log.warning("%s", warning)

    async def serve(self) -> None:
        """Answers, by the rules of the moment, until server.stop()."""
        watching = asyncio.create_task(self._entrance.watch())
        try:
            await self.server.serve()
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
