# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for OpenStack services that are not installed: the answers that others need."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["StandIn"]


class StandIn:
    """An HTTP server that answers GETs by the longest path of *answers* that fits.

    It answers everything else with 404, and remembers that in `unknown`.
    """

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.unknown: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler(answers))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def _handler(self, answers: Mapping[str, Any]) -> type[BaseHTTPRequestHandler]:
        unknown = self.unknown

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                fits = [path for path in answers if self.path.startswith(path)]
                if not fits:
                    unknown.append(self.path)
                body = json.dumps(answers[max(fits, key=len)] if fits else {}).encode()
                self.send_response(200 if fits else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None: ...

        return Handler

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
