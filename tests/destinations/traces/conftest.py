# SPDX-License-Identifier: Apache-2.0
"""Spans to pass on, and receivers for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from shmetrics.config import TracesForward
from shmetrics.traces.reader import Row, StoredSpan, span_of
from tests.servers.otlp import GrpcReceiver, HttpReceiver

SECONDS = 60.0


def id_of(number: int) -> bytes:
    return number.to_bytes(16, "big")


def row(number: int = 1, **more: Any) -> Row:
    """Return a span as the store has it: of 10 ns, whole, at the top of its trace, of nova."""
    said: dict[str, Any] = {
        "trace": id_of(1000),
        "id": id_of(number),
        "parent": id_of(1000),
        "name": "rpc",
        "service": "nova",
        "project": "p",
        "host": "h",
        "start_ns": 1_600_000_000_000_000_000,
        "stop_ns": 1_600_000_000_000_000_010,
        "start_info": None,
        "stop_info": None,
        "exception": None,
        "is_cut": 0,
        "has_died": 0,
        "lane": 1,
        **more,
    }
    for info in ("start_info", "stop_info"):
        if isinstance(said[info], dict):
            said[info] = msgspec.json.encode(said[info]).decode()
    return tuple(said.values())


def span(number: int = 1, **more: Any) -> StoredSpan:
    return span_of(row(number, **more))


def wanted(to: str, **options: Any) -> TracesForward:
    """Return a destination that is sent to at once."""
    return TracesForward(to=to, **{"batch_seconds": 0.0, **options})


@pytest.fixture
def http() -> Iterator[HttpReceiver]:
    receiver = HttpReceiver()
    yield receiver
    receiver.close()


@pytest.fixture
def grpc_receiver() -> Iterator[GrpcReceiver]:
    receiver = GrpcReceiver()
    yield receiver
    receiver.close()
