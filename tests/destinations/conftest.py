# SPDX-License-Identifier: Apache-2.0
"""Spans to pass on, and receivers for them."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest

from shmetrics.config import Forward
from shmetrics.destinations.sender import Outcome, TryAgain
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


def wanted(to: str, **options: Any) -> Forward:
    """Return a destination that is sent to at once."""
    return Forward(to=to, **{"batch_seconds": 0.0, **options})


@dataclasses.dataclass
class Part:
    """So many of a batch arrive, and those behind them never will; the rest is tried again, or next
    if there was no time for it."""

    sent: int
    failed: int = 0
    no_time: bool = False


@dataclasses.dataclass
class Script:
    """A sender that does as it is told, and takes what comes then."""

    does: deque[Exception | Outcome | Part] = dataclasses.field(default_factory=deque)
    taken: list[StoredSpan] = dataclasses.field(default_factory=list)
    sizes: list[int] = dataclasses.field(default_factory=list)  # of batches
    is_closed: bool = False

    def send(self, spans: Sequence[StoredSpan]) -> Outcome:
        self.sizes.append(len(spans))
        done = self.does.popleft() if self.does else Outcome()
        if isinstance(done, Exception):
            raise done
        if isinstance(done, Outcome):
            self.taken += spans
            return done
        sent = min(done.sent, len(spans))
        failed = min(done.failed, len(spans) - sent)
        self.taken += spans[:sent]
        left = spans[sent + failed :]
        if done.no_time:
            return Outcome(failed=failed, why="odd", left=left)
        raise TryAgain("down", left=left, failed=failed)

    def close(self) -> None:
        self.is_closed = True


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
