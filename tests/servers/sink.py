# SPDX-License-Identifier: Apache-2.0
"""A server that takes whatever comes over TCP or TLS, and answers nothing."""

from __future__ import annotations

import socketserver
import ssl
import threading

__all__ = ["Sink"]


class Sink:
    """The server; `taken` is what has come, a connection after the other."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._pieces: list[bytes] = []
        pieces = self._pieces

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                sock = self.request
                try:
                    if tls is not None:
                        sock = tls.wrap_socket(sock, server_side=True)
                    while data := sock.recv(1 << 16):
                        pieces.append(data)
                except OSError:
                    pass
                finally:
                    sock.close()

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def taken(self) -> bytes:
        return b"".join(self._pieces)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
