# SPDX-License-Identifier: Apache-2.0
"""Asking a URL, with what its server wants of a client."""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
import urllib.request
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shmetrics.config.http_file import Credentials


class Opener:
    """Opens URLs. A proxy from the environment is for the world outside; the collector is on this
    node."""

    def __init__(self, credentials: Credentials | None = None) -> None:
        self._headers = {}
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if credentials is not None:
            handlers.append(_Https(credentials.context, credentials.server_name))
            if credentials.username:
                pair = f"{credentials.username}:{credentials.password}".encode()
                self._headers["authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        self._opener = urllib.request.build_opener(*handlers)

    @classmethod
    def of(cls, path: str) -> Opener:
        """With the credentials of a file. Raises ConfigError."""
        from shmetrics.config.http_file import Credentials

        return cls(Credentials(path))

    def open(self, url: str, timeout_seconds: float) -> Any:
        """The answer, as urllib gives it. Raises OSError, and ValueError for what is no URL."""
        request = urllib.request.Request(url, headers=self._headers)
        return self._opener.open(request, timeout=timeout_seconds)


class _Https(urllib.request.HTTPSHandler):
    """TLS where the certificate's name need not be that of the URL."""

    def __init__(self, context: ssl.SSLContext, server_name: str) -> None:
        super().__init__(context=context)
        self._tls = context
        self._server_name = server_name

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        def connect(host: str, **more: Any) -> http.client.HTTPSConnection:
            return _Connection(host, self._tls, self._server_name, **more)

        return self.do_open(connect, request)


class _Connection(http.client.HTTPSConnection):
    def __init__(self, host: str, context: ssl.SSLContext, server_name: str, **more: Any) -> None:
        super().__init__(host, context=context, **more)
        self._tls = context
        self._server_name = server_name or self.host

    def connect(self) -> None:
        sock = socket.create_connection((self.host, self.port), self.timeout)
        self.sock = self._tls.wrap_socket(sock, server_hostname=self._server_name)
