# SPDX-License-Identifier: Apache-2.0
"""An HTTP server that answers as a test tells it, request by request, and keeps what it took."""

from __future__ import annotations

import ssl
import threading
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from tests.servers.ports import ReservedPort

__all__ = ["Request", "Scripted"]


class Request(NamedTuple):
    """A request that was taken."""

    path: str
    headers: dict[str, str]
    body: bytes


#: What is done with a request instead of taking it.
Answer = Callable[[BaseHTTPRequestHandler], None]


class Scripted:
    """A server of POSTs; `answers` are for the next requests, and `takes` answers the others."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.answers: deque[Answer] = deque()
        self.tries = 0
        #: Returns the body of the answer to what is taken.
        self.takes: Callable[[Request], bytes] = lambda request: b""
        self.reserved = ReservedPort()
        self.port = self.reserved.number
        self._tls = tls
        self.url = f"{'https' if tls else 'http'}://localhost:{self.port}"
        self.start()

    def start(self) -> None:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                server.tries += 1
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if server.answers:
                    server.answers.popleft()(self)
                    return
                request = Request(self.path, dict(self.headers), body)
                answer = server.takes(request)
                server.requests.append(request)
                say(self, 200, answer)

            def do_GET(self) -> None:
                say(self, 200)  # a client that looks whether we are there

            def log_message(self, *_: object) -> None: ...

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None: ...  # a client that is gone

        self._server = Server(("127.0.0.1", self.port), Handler)
        if self._tls is not None:
            self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def close(self) -> None:
        self.stop()
        self.reserved.release()


def say(handler: BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str) -> None:
    """Send an answer."""
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
