# SPDX-License-Identifier: Apache-2.0
"""Requests and answers, translated between h11 and ASGI."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import h11

Message = MutableMapping[str, Any]
App = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]

# A whole URL, up to its path.
_ABSOLUTE = re.compile(rb"^https?://[^/?#]*", re.IGNORECASE)


class ClientGone(OSError):
    """An error: the client has left before its answer was complete."""


def scope(request: h11.Request, transport: asyncio.BaseTransport) -> Message:
    """Make an ASGI scope of a request.

    The request's target may be a whole URL, as in a request to a proxy. Its host is ignored, as is
    the header Host: no answer depends on them.
    """
    path, _, query = _ABSOLUTE.sub(b"", request.target).partition(b"?")
    path = path or b"/"
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": request.http_version.decode("ascii"),
        "method": request.method.decode("ascii"),
        "scheme": "https" if transport.get_extra_info("sslcontext") else "http",
        "path": unquote(path.decode("ascii")),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": list(request.headers),
        "client": (transport.get_extra_info("peername") or ("", 0))[:2],
        "server": (transport.get_extra_info("sockname") or ("", 0))[:2],
    }


async def receive() -> Message:
    """Return the body of a request, which is always empty."""
    return {"type": "http.request", "body": b"", "more_body": False}


def response(status: int, headers: list[tuple[bytes, bytes]]) -> h11.Response:
    """Make the head of an answer."""
    return h11.Response(status_code=status, headers=headers, reason=HTTPStatus(status).phrase)


def date() -> tuple[bytes, bytes]:
    """Make the header Date, of now."""
    return b"date", formatdate(usegmt=True).encode()
