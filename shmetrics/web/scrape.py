# SPDX-License-Identifier: Apache-2.0
"""The answer to a scrape: all tables as they were at one moment, in one format.

Clients that ask together share it. A compressed answer is small, and made once. A text is large,
and made for each client while it is sent, since a piece takes no longer to make than to send. So a
slow client keeps numbers in memory, and no text. In both cases the loop goes on between two pieces.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from starlette.responses import Response

from shmetrics.http.asgi import Message
from shmetrics.render.compression import gzipped
from shmetrics.render.negotiation import Format
from shmetrics.render.row_slice import numbers_bytes
from shmetrics.tables.table import Table

# Called when an answer is made, with the seconds that this client's text took, and its size
# uncompressed in bytes.
Tell = Callable[[float, int], None]


class Scrape:
    """An answer that several clients may share. begin() comes first."""

    def __init__(
        self, tables: Iterable[Table], format: Format, constant_labels: Mapping[str, str]
    ) -> None:
        self._tables = list(tables)
        self._numbers_bytes = sum(map(numbers_bytes, self._tables))
        self._format = format
        self._constant_labels = constant_labels
        self._body: bytes | None = None
        self._text_bytes = 0

    def __len__(self) -> int:
        """Return the bytes of memory that are held until the last client has its answer."""
        return self._numbers_bytes

    def pieces(self) -> Iterator[bytes]:
        """Make the text, piece by piece.

        Raises:
            ValueError: Before the first piece: a table cannot be shown.
        """
        return self._format.pieces(self._tables, self._constant_labels)

    async def begin(self) -> None:
        """Make what all clients share: the whole answer, if it is compressed or small."""
        if self._format.gzip:
            await self._compress()
        else:
            first = list(islice(self.pieces(), 2))
            if len(first) < 2:  # a small text is as cheap to keep as the numbers
                self._keep(b"".join(first), sum(map(len, first)))

    async def _compress(self) -> None:
        found = io.BytesIO()
        text_bytes = 0

        def counted() -> Iterator[bytes]:
            nonlocal text_bytes
            for piece in self.pieces():
                text_bytes += len(piece)
                yield piece

        for piece in gzipped(counted()):
            found.write(piece)
            await asyncio.sleep(0)
        self._keep(found.getvalue(), text_bytes)

    def _keep(self, body: bytes, text_bytes: int) -> None:
        self._body, self._text_bytes = body, text_bytes
        self._tables, self._numbers_bytes = [], 0

    def response(self, headers: Mapping[str, str], tell: Tell) -> Response:
        """Make the response to one client."""
        headers = {**headers, "content-type": self._format.content_type}
        if self._format.gzip:
            headers["content-encoding"] = "gzip"
        if self._body is None:
            return _Stream(self, headers, tell)
        tell(0.0, self._text_bytes)
        return Response(self._body, headers=headers)


class _Stream(Response):
    """A text that is made while it is sent, so that its length is not known before."""

    def __init__(self, scrape: Scrape, headers: Mapping[str, str], tell: Tell) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers(headers)  # without a body there is no content-length among them
        self._scrape = scrape
        self._tell = tell

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        start = {"status": self.status_code, "headers": self.raw_headers, "answer": self._scrape}
        await send({"type": "http.response.start", **start})
        if scope["method"] != "HEAD":
            await self._send_text(send)
        await send({"type": "http.response.body", "body": b""})

    async def _send_text(self, send: Any) -> None:
        pieces = self._scrape.pieces()
        seconds, text_bytes = 0.0, 0
        while True:
            begun = time.perf_counter()
            piece = next(pieces, None)
            seconds += time.perf_counter() - begun
            if piece is None:
                break
            text_bytes += len(piece)
            if piece:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0)
        self._tell(seconds, text_bytes)
