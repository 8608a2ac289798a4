# SPDX-License-Identifier: Apache-2.0
"""Asking a URL, with what its server wants of a client."""

from __future__ import annotations

import base64
import ssl
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from shmetrics.http_client import Answer, Clock, Peer, exchange

if TYPE_CHECKING:
    from shmetrics.config.http_file import Credentials

_PORTS: Final = {"http": 80, "https": 443}


class Opener:
    """Asks URLs. Of a proxy in the environment it knows nothing: that is for the world outside, and
    the collector is on this node. It goes nowhere else if it is told to, with its password."""

    def __init__(self, credentials: Credentials | None = None) -> None:
        self._headers = {}
        self._credentials = credentials
        if credentials is not None and credentials.username:
            pair = f"{credentials.username}:{credentials.password}".encode()
            self._headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"

    @classmethod
    def of(cls, path: str) -> Opener:
        """With the credentials of a file. Raises ConfigError."""
        from shmetrics.config.http_file import Credentials

        return cls(Credentials(path))

    def get(self, url: str, clock: Clock, most_bytes: int) -> Answer:
        """What is at a URL. Raises OSError, HTTPException, and ValueError for what is no URL."""
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError(f"{url!r} is no URL of a collector")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        peer = self._peer(parts.hostname, parts.port or _PORTS[parts.scheme], parts.scheme)
        return exchange(peer, "GET", path, self._headers, clock, most_bytes=most_bytes)

    def _peer(self, host: str, port: int, scheme: str) -> Peer:
        if scheme == "http":
            return Peer(host, port)
        if self._credentials is None:
            return Peer(host, port, ssl.create_default_context())
        return Peer(host, port, self._credentials.context, self._credentials.server_name)
