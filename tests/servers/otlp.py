# SPDX-License-Identifier: Apache-2.0
"""OTLP receivers made of the official definitions, in this process: over HTTP, and over gRPC."""

from __future__ import annotations

import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest as Request,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceResponse as Response,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.servers.scripted import say

__all__ = ["GrpcReceiver", "HttpReceiver", "attributes_of", "partial", "say", "spans_of"]

#: What is done with a request instead of taking it.
HttpAnswer = Callable[[BaseHTTPRequestHandler], None]
GrpcAnswer = Callable[[grpc.ServicerContext], Response]


def spans_of(requests: list[Request]) -> list[Span]:
    """Return all spans of these requests, in their order."""
    return [
        span
        for request in requests
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def attributes_of(found: Any) -> dict[str, Any]:
    """Return the plain attributes of a span, an event or a resource."""
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value") or "string_value")
        for each in found.attributes
    }


def partial(rejected: int) -> Response:
    """Return the response that all but so many spans were taken."""
    response = Response()
    response.partial_success.rejected_spans = rejected
    response.partial_success.error_message = "too old"
    return response


class HttpReceiver:
    """A receiver of posts to /v1/traces; `answers` are for the next requests instead."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.headers: list[dict[str, str]] = []
        self.answers: deque[HttpAnswer] = deque()
        self.tries = 0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.tries += 1
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if receiver.answers:
                    receiver.answers.popleft()(self)
                    return
                assert self.path == "/v1/traces"
                assert self.headers["Content-Type"] == "application/x-protobuf"
                receiver.headers.append(dict(self.headers))
                receiver.requests.append(Request.FromString(body))
                say(self, 200, Response().SerializeToString())

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_port
        self.url = f"otlp+http://127.0.0.1:{self.port}/v1/traces"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def serve_tls(self, context: ssl.SSLContext) -> None:
        """Speak TLS with all clients from now on."""
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    """Close in the middle of an answer."""
    handler.wfile.write(b"HTTP/1.1 20")
    handler.wfile.flush()
    handler.connection.shutdown(socket.SHUT_RDWR)


class GrpcReceiver(TraceServiceServicer):
    """A receiver of calls of Export(); `answers` are for the next calls instead."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.metadata: list[dict[str, str | bytes]] = []
        self.answers: deque[GrpcAnswer] = deque()
        self._pool = ThreadPoolExecutor(2)
        self._server = grpc.server(self._pool)
        add_TraceServiceServicer_to_server(self, self._server)  # type: ignore[no-untyped-call]
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self.url = f"otlp+grpc://127.0.0.1:{self.port}"
        self._server.start()

    def Export(self, request: Request, context: grpc.ServicerContext) -> Response:  # noqa: N802
        if self.answers:
            return self.answers.popleft()(context)
        self.metadata.append(dict(context.invocation_metadata()))
        self.requests.append(request)
        return Response()

    def close(self) -> None:
        self._server.stop(0).wait()
        self._pool.shutdown()
        del self._server  # with the last of them, gRPC lets go of its descriptors
