# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.osprofiler.chain.api FILE`: an API over WSGI that asks a worker by RPC."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import oslo_messaging

from shmetrics.hooks import wsgi
from tests.osprofiler.chain import service


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None: ...


def main() -> None:
    conf, transport = service.start("api")
    client = oslo_messaging.get_rpc_client(transport, oslo_messaging.Target(topic="worker"))

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        built = client.call({}, "build", name=environ["PATH_INFO"])
        start_response("200 OK", [("content-type", "text/plain")])
        yield str(built).encode()

    server = make_server("127.0.0.1", 0, wsgi.middleware(app, conf), handler_class=Quiet)
    print(server.server_port, flush=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    service.until_told()
    server.shutdown()
    thread.join()
    server.server_close()
    transport.cleanup()


if __name__ == "__main__":
    main()
