# SPDX-License-Identifier: Apache-2.0
"""The ASGI application: which path answers what. Read-only, and every answer is made anew."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from shmetrics.exposition import negotiation
from shmetrics.web import page
from shmetrics.web.methods import Method, summarize
from shmetrics.web.source import Source

_COMMON_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


def make_app(
    source: Source,
    constant_labels: Mapping[str, str],
    on_scrape: Callable[[float, int], None] = lambda seconds, size_bytes: None,
) -> Starlette:
    """The application. on_scrape is told what each scrape took, and its size uncompressed."""
    pages = _Pages(source, dict(constant_labels), on_scrape)
    routes = {
        "/": pages.page,
        "/metrics": pages.metrics,
        "/-/healthy": pages.healthy,
        "/-/ready": pages.ready,
        "/api/v1/lanes": pages.lanes,
        "/api/v1/calls": pages.calls,
        "/api/v1/methods": pages.methods,
    }
    there = " ".join(routes)

    async def refuse(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return PlainTextResponse(
            f"{error.status_code} {error.detail}; there are: {there}\n",
            error.status_code,
            {**_COMMON_HEADERS, **(error.headers or {})},
        )

    return Starlette(
        routes=[Route(path, endpoint) for path, endpoint in routes.items()],
        exception_handlers={HTTPException: refuse},
    )


class _Pages:
    """One endpoint per path. The collector is asked in the loop's own thread, like all of it."""

    def __init__(
        self,
        source: Source,
        constant_labels: dict[str, str],
        on_scrape: Callable[[float, int], None],
    ) -> None:
        self._source = source
        self._constant_labels = constant_labels
        self._on_scrape = on_scrape

    async def metrics(self, request: Request) -> Response:
        begun = time.perf_counter()
        headers = request.headers
        # A header may come several times; together they are one list.
        answer = negotiation.choose(
            ",".join(headers.getlist("accept")), ",".join(headers.getlist("accept-encoding"))
        )
        names = request.query_params.getlist("name[]")
        tables = negotiation.select(self._source.tables(), names)
        text = answer.render(tables, self._constant_labels)
        body = text
        if answer.gzip:  # takes a second per 100 MB, without the GIL: the loop goes on meanwhile
            body = await asyncio.to_thread(answer.encode, text)
        self._on_scrape(time.perf_counter() - begun, len(text))
        encoding = {"content-encoding": "gzip"} if answer.gzip else {}
        return Response(
            body,
            headers={
                **_COMMON_HEADERS,
                **encoding,
                "content-type": answer.content_type,
                "vary": "accept, accept-encoding",
            },
        )

    async def healthy(self, request: Request) -> Response:
        return _state(*self._source.healthy())

    async def ready(self, request: Request) -> Response:
        return _state(*self._source.ready())

    async def lanes(self, request: Request) -> Response:
        return _json(self._source.lanes())

    async def calls(self, request: Request) -> Response:
        return _json(self._source.calls())

    async def methods(self, request: Request) -> Response:
        return _json(self._summary()[0])

    async def page(self, request: Request) -> Response:
        methods, calls = self._summary()
        lanes = self._source.lanes()
        body = page.render(self._constant_labels, self._source.ready(), methods, lanes, calls)
        return Response(body, headers={**_COMMON_HEADERS, **page.HEADERS})

    def _summary(self) -> tuple[list[Method], list[dict[str, object]]]:
        """The methods, and the open calls that are in them."""
        tables = self._source.tables()  # drains, so that what the calls say is not older
        calls = self._source.calls()
        return summarize(tables, calls), calls


def _state(good: bool, why: str) -> Response:
    return PlainTextResponse(f"{why}\n", 200 if good else 503, _COMMON_HEADERS)


def _json(value: object) -> Response:
    headers = {**_COMMON_HEADERS, "content-type": "application/json"}
    return Response(msgspec.json.encode(value), headers=headers)
