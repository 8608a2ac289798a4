# SPDX-License-Identifier: Apache-2.0
"""A WSGI service whose workers each have gauges, in the modes with a series per process."""

import os
from collections.abc import Callable, Iterable
from typing import Any

import shmetrics

handled = shmetrics.Gauge("requests_of_worker", "Requests of a worker")
handled_live = shmetrics.Gauge(
    "live_requests_of_worker", "Requests of a worker that lives", multiprocess_mode="liveall"
)


def application(
    environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]
) -> Iterable[bytes]:
    handled.inc()
    handled_live.inc()
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
