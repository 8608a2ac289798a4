# SPDX-License-Identifier: Apache-2.0
"""The web put together: the application, what guards it, and the server in front of both."""

from __future__ import annotations

import asyncio
import logging

from shmetrics.config import Config
from shmetrics.http import exposure
from shmetrics.http.access_rules import AccessRules
from shmetrics.http.auth import Auth
from shmetrics.http.observer import Observer
from shmetrics.http.passwords import Passwords
from shmetrics.http.server import Server
from shmetrics.web.app import make_app
from shmetrics.web.node_view import NodeView
from shmetrics.web.trace_routes import TraceView

log = logging.getLogger(__name__)


class WebService:
    """What the daemon opens and closes."""

    def __init__(
        self, source: NodeView, config: Config, observer: Observer, traces: TraceView | None = None
    ) -> None:
        """Binds. Raises ShmetricsError, one line, for the address or the web configuration file."""
        self._access = access = AccessRules(config.web_config, observer)
        app = make_app(source, config.constant_labels, observer, traces)
        auth = Auth(app, access, Passwords(), observer)
        self.server = Server(auth, config.address, config.web, access, observer)
        self.exposure = exposure.describe(self.server.address, access.rules)
        for warning in exposure.warnings(self.server.address, access.rules):
            log.warning("%s", warning)

    async def serve(self) -> None:
        """Answers, by the rules of the moment, until server.stop()."""
        watching = asyncio.create_task(self._access.watch())
        try:
            await self.server.serve()
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
