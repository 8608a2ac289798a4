# SPDX-License-Identifier: Apache-2.0
"""The paths of traces, as pages and as JSON: the list, and one trace with its spans."""

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
    """The trace store as the web sees it, from several threads."""

    def find(self, query: Query) -> list[Trace]:
        """Return the traces that a query asks for, the last heard of first."""

    def spans(self, trace: bytes) -> list[StoredSpan]:
        """Return all spans of a trace; none if there is no such trace."""


Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


def routes(
    traces: TraceView, drain: Callable[[], object], headers: Mapping[str, str], node_name: str
) -> dict[str, Endpoint]:
    """Make the endpoints, by path.

    Args:
        traces: The trace store.
        drain: Drains every lane, so that an answer has what was recorded before its request.
        headers: Of every answer.
        node_name: For the head of each page.
    """
    endpoints = _Endpoints(traces, drain, dict(headers), node_name)
    return {
        "/traces": endpoints.list_page,
        "/traces/{base_id}": endpoints.one_page,
        "/api/v1/traces": endpoints.list,
        "/api/v1/traces/{base_id}": endpoints.one,
    }


class _Endpoints:
    """The endpoints, one for each path. SQLite may wait for a disk, so a thread asks the store."""

    def __init__(
        self,
        traces: TraceView,
        drain: Callable[[], object],
        headers: dict[str, str],
        node_name: str,
    ) -> None:
        self._traces = traces
        self._drain = drain
        self._headers = headers
        self._node_name = node_name

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
            return trace_pages.listing(self._node_name, request.query_params, found)

        return await self._asked(view, trace_pages.HEADERS)

    async def one_page(self, request: Request) -> Response:
        def view() -> bytes:
            return trace_pages.waterfall(self._node_name, *self._spans(request))

        return await self._asked(view, trace_pages.HEADERS)

    async def _asked(self, view: Callable[[], bytes], headers: Mapping[str, str]) -> Response:
        """Answer with the body that a view makes, in a thread, or with an error."""
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
        return self._traces.find(query_of(request.query_params))

    def _spans(self, request: Request) -> tuple[str, Sequence[StoredSpan]]:
        id = id_of(request.path_params["base_id"])
        return str(uuid.UUID(bytes=id)), self._traces.spans(id)


def _json(found: object) -> bytes:
    return msgspec.json.encode(found)
