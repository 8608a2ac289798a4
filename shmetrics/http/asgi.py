# SPDX-License-Identifier: Apache-2.0
"""Between h11's words and ASGI's: what a request and an answer are called on either side."""

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


# What a whole URL has before its path.
_ABSOLUTE = re.compile(rb"^https?://[^/?#]*", re.IGNORECASE)


class ClientGone(OSError):
    """There is nobody to answer any more."""


def scope(request: h11.Request, transport: asyncio.BaseTransport) -> Message:
    """A request as an application gets it.

    Its target may be a whole URL, as a proxy is asked. Where that says we are is nothing to us, nor
    is the header Host: answers depend on neither.
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
    """The body of a request: there is none."""
    return {"type": "http.request", "body": b"", "more_body": False}


def response(status: int, headers: list[tuple[bytes, bytes]]) -> h11.Response:
    """The head of an answer."""
    return h11.Response(status_code=status, headers=headers, reason=HTTPStatus(status).phrase)


def date() -> tuple[bytes, bytes]:
    """The header that says when."""
    return b"date", formatdate(usegmt=True).encode()
