# SPDX-License-Identifier: Apache-2.0
"""Requests to URLs with the credentials of a client."""

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
    """An opener of URLs, with credentials.

    It ignores proxies of the environment, which are for other networks, while the collector is on
    this node. It does not follow redirects, as it would send its password along.
    """

    def __init__(self, credentials: Credentials | None = None) -> None:
        self._headers = {}
        self._credentials = credentials
        if credentials is not None and credentials.username:
            pair = f"{credentials.username}:{credentials.password}".encode()
            self._headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"

    @classmethod
    def of(cls, path: str) -> Opener:
        """Return an opener with the credentials in a file. Raises ConfigError."""
        from shmetrics.config.http_file import Credentials

        return cls(Credentials(path))

    def get(self, url: str, clock: Clock, most_bytes: int, accept: str = "") -> Answer:
        """Return the answer at a URL.

        Args:
            url: an http or https URL.
            clock: the time limit.
            most_bytes: the most bytes of the body that are read.
            accept: the formats to ask for, as the header Accept has them; "": none in particular.

        Raises:
            OSError: the server cannot be reached, or is too slow.
            http.client.HTTPException: the answer is not HTTP.
            ValueError: *url* is not a URL of a collector.
        """
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError(f"{url!r} is not the URL of a collector")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        peer = self._peer(parts.hostname, parts.port or _PORTS[parts.scheme], parts.scheme)
        headers = {**self._headers, "Accept": accept} if accept else self._headers
        return exchange(peer, "GET", path, headers, clock, most_bytes=most_bytes)

    def _peer(self, host: str, port: int, scheme: str) -> Peer:
        if scheme == "http":
            return Peer(host, port)
        if self._credentials is None:
            return Peer(host, port, ssl.create_default_context())
        return Peer(host, port, self._credentials.context, self._credentials.server_name)
