# SPDX-License-Identifier: Apache-2.0
"""The ASGI application: an endpoint for each path. Requests that come together share an answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import quote

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from shmetrics.escaping import Escaping
from shmetrics.render import naming, negotiation
from shmetrics.tables.methods import Method, summarize
from shmetrics.tables.native_only import native_only
from shmetrics.tables.table import Table
from shmetrics.tables.units import UnitMetric, UnitRow, described
from shmetrics.tables.units import summarize as summarize_units
from shmetrics.web import node_page
from shmetrics.web.node_view import NodeView
from shmetrics.web.scrape import Scrape
from shmetrics.web.scrape_observer import NullScrapeObserver, ScrapeObserver
from shmetrics.web.shared_answers import SharedAnswers
from shmetrics.web.trace_routes import Endpoint, TraceView
from shmetrics.web.trace_routes import routes as trace_routes

_COMMON_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


def make_app(
    node: NodeView,
    constant_labels: Mapping[str, str],
    observer: ScrapeObserver = NullScrapeObserver(),  # noqa: B008
    traces: TraceView | None = None,
    created_samples: bool = False,
    destinations: Callable[[], list[dict[str, object]]] = list,
) -> Starlette:
    """Make the application.

    Args:
        node: The collector, as the web sees it.
        constant_labels: Labels of all series; their values name the node.
        observer: Told of each scrape.
        traces: The trace store; None, and there are no paths for traces.
        created_samples: OpenMetrics has _created samples.
        destinations: Returns one dictionary per destination that anything is forwarded to.
    """
    endpoints = _Endpoints(
        node, dict(constant_labels), observer, traces is not None, created_samples, destinations
    )
    routes: dict[str, Endpoint] = {
        "/": endpoints.page,
        "/metrics": endpoints.metrics,
        "/-/healthy": endpoints.healthy,
        "/-/ready": endpoints.ready,
        "/api/v1/lanes": endpoints.lanes,
        "/api/v1/left_out": endpoints.left_out,
        "/api/v1/calls": endpoints.calls,
        "/api/v1/failed_calls": endpoints.failed_calls,
        "/api/v1/methods": endpoints.methods,
        "/api/v1/units": endpoints.units,
        "/api/v1/unit_metrics": endpoints.unit_metrics,
        "/api/v1/destinations": endpoints.destinations,
    }
    if traces is not None:
        node_name = ", ".join(constant_labels.values())
        routes |= trace_routes(traces, node.drain, _COMMON_HEADERS, node_name)
    there = " ".join(routes)

    async def refuse(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return PlainTextResponse(
            f"{error.status_code} {error.detail}; there are: {there}\n",
            error.status_code,
            {**_COMMON_HEADERS, **(error.headers or {})},
        )

    app = Starlette(
        routes=[
            *(Route(path, endpoint) for path, endpoint in routes.items()),
            *(Route(f"{path}/", _without_slash) for path in routes if path != "/"),
        ],
        exception_handlers={HTTPException: refuse},
    )
    app.router.redirect_slashes = False  # starlette would redirect to any host the client names
    return app


async def _without_slash(request: Request) -> Response:
    """Redirect to the same path without its last slash, by a location that names no host."""
    name = quote(request.scope["path"][:-1].rpartition("/")[2], safe="")
    query = request.scope["query_string"].decode("ascii")
    location = f"../{name}?{query}" if query else f"../{name}"
    return Response(None, 307, {**_COMMON_HEADERS, "location": location})


class _Wanted(NamedTuple):
    """The wishes of a scrape.

    Attributes:
        format: Of the answer.
        names: Of the families; empty for all.
        native_only: Without classic buckets, where there are native ones.
    """

    format: negotiation.Format
    names: frozenset[str]
    native_only: bool


class _Endpoints:
    """The endpoints, one for each path. Each asks the collector in the loop's thread."""

    def __init__(
        self,
        node: NodeView,
        constant_labels: dict[str, str],
        observer: ScrapeObserver,
        has_traces: bool = False,
        created_samples: bool = False,
        destinations: Callable[[], list[dict[str, object]]] = list,
    ) -> None:
        self._node = node
        self._destinations = destinations
        self._created_samples = created_samples
        self._left_out: dict[Escaping, dict[str, str]] = {}  # by the latest scrape of each scheme
        self._has_traces = has_traces
        self._constant_labels = constant_labels
        self._observer = observer
        self._scrapes = SharedAnswers(self._scrape)
        self._views = SharedAnswers(self._view)

    async def metrics(self, request: Request) -> Response:
        begun = time.perf_counter()
        headers = request.headers
        # A header may come several times; together they are one list.
        format_ = negotiation.choose(
            ",".join(headers.getlist("accept")),
            ",".join(headers.getlist("accept-encoding")),
            self._created_samples,
        )
        names = frozenset(request.query_params.getlist("name[]"))
        without_classic = format_.native and request.query_params.get("native_only") == "true"
        scrape = await self._scrapes.get(_Wanted(format_, names, without_classic))
        waited = time.perf_counter() - begun

        def answered(seconds: float, text_bytes: int) -> None:
            self._observer.scraped(waited + seconds, text_bytes)

        return scrape.response({**_COMMON_HEADERS, "vary": "accept, accept-encoding"}, answered)

    async def _scrape(self, wanted: _Wanted) -> Scrape:
        self._observer.rendered()
        escaping = wanted.format.escaping
        names = naming.named(self._node.tables(wanted.format.native), escaping)
        self._left_out[escaping] = names.left_out
        self._observer.left_out(escaping.value, names.left_out)
        tables = naming.select(names, wanted.names)
        if wanted.native_only:
            tables = list(map(native_only, tables))
        scrape = Scrape(tables, wanted.format, self._constant_labels)
        await scrape.begin()
        return scrape

    async def healthy(self, request: Request) -> Response:
        return _state(*self._node.healthy())

    async def ready(self, request: Request) -> Response:
        return _state(*self._node.ready())

    async def lanes(self, request: Request) -> Response:
        return await self._json(self._node.lanes)

    async def left_out(self, request: Request) -> Response:
        return await self._json(self._all_left_out)

    async def calls(self, request: Request) -> Response:
        return await self._json(self._node.calls)

    async def failed_calls(self, request: Request) -> Response:
        return await self._json(self._node.failed_calls)

    async def methods(self, request: Request) -> Response:
        return await self._json(self._methods)

    async def units(self, request: Request) -> Response:
        return await self._json(self._units)

    async def unit_metrics(self, request: Request) -> Response:
        return await self._json(self._unit_metrics)

    async def destinations(self, request: Request) -> Response:
        return await self._json(self._destinations)

    async def page(self, request: Request) -> Response:
        body = await self._views.get(self._page)
        return Response(body, headers={**_COMMON_HEADERS, **node_page.HEADERS})

    async def _json(self, view: Callable[[], object]) -> Response:
        headers = {**_COMMON_HEADERS, "content-type": "application/json"}
        return Response(await self._views.get(view), headers=headers)

    async def _view(self, view: Callable[[], object]) -> bytes:
        made = view()
        return made if isinstance(made, bytes) else msgspec.json.encode(made)

    def _page(self) -> bytes:
        tables, calls = self._numbers()
        return node_page.render(
            self._constant_labels,
            self._node.ready(),
            summarize(tables, calls),
            self._node.lanes(),
            calls,
            self._node.failed_calls(),
            self._has_traces,
            summarize_units(tables),
            described(tables),
            self._destinations(),
        )

    def _all_left_out(self) -> list[dict[str, str]]:
        return [
            {"family": family, "escaping": escaping.value, "reason": reason}
            for escaping, left_out in self._left_out.items()
            for family, reason in left_out.items()
        ]

    def _methods(self) -> list[Method]:
        return summarize(*self._numbers())

    def _units(self) -> list[UnitRow]:
        return summarize_units(self._node.tables())

    def _unit_metrics(self) -> list[UnitMetric]:
        return described(self._node.tables())

    def _numbers(self) -> tuple[list[Table], list[dict[str, object]]]:
        """Return all tables, and the open calls that they count."""
        tables = self._node.tables()  # first: it drains, so the calls are not older than it
        return tables, self._node.calls()


def _state(good: bool, why: str) -> Response:
    return PlainTextResponse(f"{why}\n", 200 if good else 503, _COMMON_HEADERS)
