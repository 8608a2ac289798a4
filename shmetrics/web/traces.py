# SPDX-License-Identifier: Apache-2.0
"""The traces, for programs and for people: a list, and one of them with its spans."""

from __future__ import annotations

import asyncio
import math
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from shmetrics.traces.reader import Query, StoredSpan, Trace
from shmetrics.traces.times import iso
from shmetrics.traces.tree import Node, tree, walk
from shmetrics.web import trace_page

MOST_TRACES = 10_000

_JSON = {"content-type": "application/json"}


class TraceSource(Protocol):
    """What the web needs of the traces; asked in threads of their own."""

    def find(self, query: Query) -> list[Trace]: ...
    def spans(self, trace: bytes) -> list[StoredSpan]: ...


Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


class BadQuery(ValueError):
    """A parameter that means nothing; the text names it."""


def routes(
    source: TraceSource, drain: Callable[[], object], headers: Mapping[str, str], node: str
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
        source: TraceSource,
        drain: Callable[[], object],
        headers: dict[str, str],
        node: str,
    ) -> None:
        self._source = source
        self._drain = drain
        self._headers = headers
        self._node = node

    async def list(self, request: Request) -> Response:
        return await self._asked(lambda: _json(listed(self._found(request))), _JSON)

    async def one(self, request: Request) -> Response:
        def view() -> bytes:
            base_id, spans = self._spans(request)
            return _json({"base_id": base_id, "spans": shown(spans)})

        return await self._asked(view, _JSON)

    async def list_page(self, request: Request) -> Response:
        def view() -> bytes:
            found = self._found(request)
            return trace_page.listing(self._node, request.query_params, found)

        return await self._asked(view, trace_page.HEADERS)

    async def one_page(self, request: Request) -> Response:
        def view() -> bytes:
            return trace_page.waterfall(self._node, *self._spans(request))

        return await self._asked(view, trace_page.HEADERS)

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


def query_of(parameters: Mapping[str, str]) -> Query:
    """limit, service, min_duration_seconds, error, since and until, the last two as Unix seconds.
    Raises BadQuery."""
    least = _number(parameters, "min_duration_seconds")
    limit = _number(parameters, "limit")
    since, until = _number(parameters, "since"), _number(parameters, "until")
    return Query(
        since_ns=None if since is None else int(since * 1e9),
        until_ns=None if until is None else int(until * 1e9),
        service=parameters.get("service"),
        least_duration_ns=None if least is None else int(least * 1e9),
        failed=parameters.get("error", "") not in ("", "0", "false"),
        limit=100 if limit is None else min(max(int(limit), 0), MOST_TRACES),
    )


def _number(parameters: Mapping[str, str], name: str) -> float | None:
    text = parameters.get(name)
    if text is None or text == "":
        return None
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not abs(found) < 2**33:  # as nanoseconds they have to fit into 64 bits
        raise BadQuery(f"{name}={text!r} is no number of seconds, or of traces")
    return found


def id_of(text: str) -> bytes:
    """The 16 bytes of a base id. Raises BadQuery."""
    try:
        return uuid.UUID(text).bytes
    except ValueError:
        raise BadQuery(f"{text!r} is no UUID") from None


def listed(traces: Sequence[Trace]) -> list[dict[str, object]]:
    """One dictionary per trace."""
    return [
        {
            "base_id": str(uuid.UUID(bytes=trace.id)),
            "name": trace.name,
            "service": trace.service,
            "started": iso(trace.start_ns),
            "duration_seconds": trace.duration_ns / 1e9,
            "spans": trace.spans,
            "open": trace.open,
            "errors": trace.errors,
            "lost": trace.lost,
        }
        for trace in traces
    ]


def shown(spans: Sequence[StoredSpan]) -> list[dict[str, object]]:
    """One dictionary per span, each before those below it."""
    return [_shown(node) for node in walk(tree(spans))]


def _shown(node: Node) -> dict[str, object]:
    span = node.span
    return {
        "trace_id": str(uuid.UUID(bytes=span.id)),
        "parent_id": str(uuid.UUID(bytes=span.parent)),
        "name": span.name,
        "service": span.service,
        "project": span.project,
        "host": span.host,
        "started": iso(span.start_ns),
        "finished": iso(span.stop_ns),
        "duration_seconds": None if span.duration_ns is None else span.duration_ns / 1e9,
        "exception": span.exception,
        "state": node.state.value,
        "is_orphan": node.is_orphan,
        "is_cut": span.is_cut,
        "start_info": span.start_info,
        "stop_info": span.stop_info,
    }
