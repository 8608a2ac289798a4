# SPDX-License-Identifier: Apache-2.0
"""The HTTP server in the collector's own event loop, on a socket that we bind ourselves.

Why uvicorn with h11, under starlette: it runs as a coroutine in a loop that is there already, takes
a bound socket, is Python all the way (no compiled wheel to miss on an odd machine), and the
interface between the two is ASGI, so that either can be replaced. aiohttp would do as well; it has
a compiled parser and six more packages, and an application written to it runs on nothing else.
granian brings its own runtime and worker processes, which would have to be told every number first.
wsgiref answers one client at a time, in a thread: a slow reader would hold up the next scrape.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from shmetrics.config.address import Address
from shmetrics.errors import ShmetricsError

# Connections at a time. Prometheus needs one; whatever would need more is mistaken or hostile.
MAX_CONNECTIONS = 256
GRACE_SECONDS = 2


class _Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the daemon's: it has to drain before it leaves."""
        yield


class Server:
    """Listens from its construction on, answers while serve() runs."""

    def __init__(self, app: ASGIApp, address: Address) -> None:
        """Binds. Raises ShmetricsError, one line, if the address cannot be had."""
        self._address = address
        self._socket = bind(address)
        self._uvicorn = _Uvicorn(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=MAX_CONNECTIONS,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )

    @property
    def url(self) -> str:
        """Where a client on this node finds it, with the port that was really taken."""
        host, port = self._socket.getsockname()[:2]
        if not self._address.host:  # every interface, of both protocols where there are two
            host = "127.0.0.1"
        here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        return f"http://{Address(here, port)}"

    async def serve(self) -> None:
        """Answers until stop(). What is under way then has two seconds; a client that does not
        read is left."""
        await self._uvicorn.serve(sockets=[self._socket])
        for connection in self._uvicorn.server_state.connections.copy():
            connection.transport.abort()  # uvicorn stops waiting for it, and leaves it open
        await asyncio.sleep(0)  # for the loop to close them

    def stop(self) -> None:
        """Ends serve() soon. May be called before it began."""
        self._uvicorn.should_exit = True

    def close(self) -> None:
        """Gives the address back, also if serve() never ran."""
        self._socket.close()


def bind(address: Address) -> socket.socket:
    """A listening socket. Raises ShmetricsError, one line, if the address cannot be had."""
    everywhere = not address.host and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if everywhere or ":" in address.host else socket.AF_INET
    try:
        listener = socket.create_server(
            (address.host, address.port), family=family, dualstack_ipv6=everywhere
        )
    except OSError as error:
        # create_server adds the address to what the system says, in words of its own.
        reason = (error.strerror or str(error)).partition(" (while")[0]
        raise ShmetricsError(
            f"{address}: {reason[:1].lower()}{reason[1:]}; choose another address with --listen"
        ) from None
    listener.setblocking(False)
    return listener
