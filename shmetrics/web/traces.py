# SPDX-License-Identifier: Apache-2.0
"""The traces as JSON: a list, and one of them with its spans."""

from __future__ import annotations

import asyncio
import math
import sqlite3
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Protocol, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from shmetrics.traces.reader import Query, Span, Trace
from shmetrics.traces.tree import Node, tree, walk

MOST_TRACES = 10_000

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class TraceSource(Protocol):
    """What the web needs of the traces; asked in threads of their own."""

    def find(self, query: Query) -> list[Trace]: ...
    def spans(self, trace: bytes) -> list[Span]: ...


Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


class BadQuery(ValueError):
    """A parameter that means nothing; the text names it."""


def routes(
    source: TraceSource, drain: Callable[[], object], headers: Mapping[str, str]
) -> dict[str, Endpoint]:
    """The endpoints by path. drain: so that an answer has what was recorded before its question."""

    async def asked(question: Callable[[], object]) -> Response:
        drain()
        try:
            found = await asyncio.to_thread(question)
        except sqlite3.Error as error:
            return PlainTextResponse(f"500 the trace store: {error}\n", 500, dict(headers))
        body = msgspec.json.encode(found)
        return Response(body, headers={**headers, "content-type": "application/json"})

    async def traces(request: Request) -> Response:
        try:
            query = query_of(request.query_params)
        except BadQuery as error:
            return PlainTextResponse(f"400 {error}\n", 400, dict(headers))
        return await asked(lambda: listed(source.find(query)))

    async def trace(request: Request) -> Response:
        text = request.path_params["base_id"]
        id = id_of(text)
        if id is None:
            return PlainTextResponse(f"400 {text!r} is no UUID\n", 400, dict(headers))
        return await asked(
            lambda: {"base_id": str(uuid.UUID(bytes=id)), "spans": shown(source.spans(id))}
        )

    return {"/api/v1/traces": traces, "/api/v1/traces/{base_id}": trace}


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


def id_of(text: str) -> bytes | None:
    """The 16 bytes of a base id; None: it is none."""
    try:
        return uuid.UUID(text).bytes
    except ValueError:
        return None


def listed(traces: list[Trace]) -> list[dict[str, object]]:
    """One dictionary per trace."""
    return [
        {
            "base_id": str(uuid.UUID(bytes=trace.id)),
            "name": trace.name,
            "service": trace.service,
            "started": iso(trace.start_ns),
            "duration_seconds": (trace.stop_ns - trace.start_ns) / 1e9,
            "spans": trace.spans,
            "open": trace.open,
            "errors": trace.errors,
            "lost": trace.lost,
        }
        for trace in traces
    ]


def shown(spans: list[Span]) -> list[dict[str, object]]:
    """One dictionary per span, each before those below it."""
    return [_shown(node) for node in walk(tree(spans))]


def _shown(node: Node) -> dict[str, object]:
    span = node.span
    has_both = span.start_ns is not None and span.stop_ns is not None
    return {
        "trace_id": str(uuid.UUID(bytes=span.id)),
        "parent_id": str(uuid.UUID(bytes=span.parent)),
        "name": span.name,
        "service": span.service,
        "project": span.project,
        "host": span.host,
        "started": iso(span.start_ns),
        "finished": iso(span.stop_ns),
        "duration_seconds": (span.stop_ns - span.start_ns) / 1e9 if has_both else None,  # type: ignore[operator]
        "exception": span.exception,
        "state": node.state.value,
        "is_orphan": node.is_orphan,
        "is_cut": span.is_cut,
        "start_info": span.start_info,
        "stop_info": span.stop_info,
    }


def iso(unix_ns: int | None) -> str | None:
    """As OSProfiler writes times: UTC, with microseconds. No later than a calendar goes."""
    if unix_ns is None:
        return None
    try:
        when = _EPOCH + timedelta(microseconds=unix_ns // 1000)
    except OverflowError:
        when = datetime.max
    return when.strftime("%Y-%m-%dT%H:%M:%S.%f")
