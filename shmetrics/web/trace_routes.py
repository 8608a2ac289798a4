# SPDX-License-Identifier: Apache-2.0
"""The traces, for programs and for people: a list, and one of them with its spans."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from shmetrics.traces.reader import Query, StoredSpan, Trace
from shmetrics.web import trace_json, trace_pages
from shmetrics.web.trace_query import BadQuery, id_of, query_of

_JSON = {"content-type": "application/json"}


class TraceView(Protocol):
    """What the web needs of the traces; asked in threads of their own."""

    def find(self, query: Query) -> list[Trace]: ...
    def spans(self, trace: bytes) -> list[StoredSpan]: ...


Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


def routes(
    source: TraceView, drain: Callable[[], object], headers: Mapping[str, str], node: str
) -> dict[str, Endpoint]:
    """The endpoints by path. drain: so that an answer has what was recorded before its question."""
    traces = _Traces(source, drain, dict(headers), node)
    return {
        "/traces": traces.list_page,
        "/traces/{base_id}": traces.one_page,
        "/api/v1/traces": traces.list,
        "/api/v1/traces/{base_id}": traces.one,
    }


class _Traces:
    """One endpoint per path."""

    def __init__(
        self,
        source: TraceView,
        drain: Callable[[], object],
        headers: dict[str, str],
        node: str,
    ) -> None:
        self._source = source
        self._drain = drain
        self._headers = headers
        self._node = node

    async def list(self, request: Request) -> Response:
        return await self._asked(lambda: _json(trace_json.of_traces(self._found(request))), _JSON)

    async def one(self, request: Request) -> Response:
        def view() -> bytes:
            base_id, spans = self._spans(request)
            return _json({"base_id": base_id, "spans": trace_json.of_spans(spans)})

        return await self._asked(view, _JSON)

    async def list_page(self, request: Request) -> Response:
        def view() -> bytes:
            found = self._found(request)
            return trace_pages.listing(self._node, request.query_params, found)

        return await self._asked(view, trace_pages.HEADERS)

    async def one_page(self, request: Request) -> Response:
        def view() -> bytes:
            return trace_pages.waterfall(self._node, *self._spans(request))

        return await self._asked(view, trace_pages.HEADERS)

    async def _asked(self, view: Callable[[], bytes], headers: Mapping[str, str]) -> Response:
        """What is made of the store's answer, which is waited for in a thread."""
        import sqlite3  # see shmetrics/traces/schema.py

        self._drain()
        try:
            body = await asyncio.to_thread(view)
        except BadQuery as error:
            return PlainTextResponse(f"400 {error}\n", 400, self._headers)
        except sqlite3.Error as error:
            return PlainTextResponse(f"500 the trace store: {error}\n", 500, self._headers)
        return Response(body, headers={**self._headers, **headers})

    def _found(self, request: Request) -> Sequence[Trace]:
        return self._source.find(query_of(request.query_params))

    def _spans(self, request: Request) -> tuple[str, Sequence[StoredSpan]]:
        id = id_of(request.path_params["base_id"])
        return str(uuid.UUID(bytes=id)), self._source.spans(id)


def _json(found: object) -> bytes:
    return msgspec.json.encode(found)
