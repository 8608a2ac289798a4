# SPDX-License-Identifier: Apache-2.0
"""Spans as OSProfiler's notifications, through its drivers."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from osprofiler.drivers import base

from shmetrics.config.trace_destination import parse
from shmetrics.destinations.traces import backend as module
from shmetrics.destinations.traces.backend import Backend, events_of
from shmetrics.destinations.traces.bounded_calls import MOST_HANGING
from shmetrics.destinations.traces.spans import SPANS
from shmetrics.errors import ConfigError
from shmetrics.forwarding.forwarder import Forwarder, Limits
from shmetrics.forwarding.sender import Outcome, TryAgain
from tests.servers.misbehaving import Conversation, Misbehaving
from tests.servers.processes import until

from .conftest import SECONDS, id_of, row, span

pytestmark = pytest.mark.slow


class Kept(base.Driver):
    """A driver that keeps its notifications; `fails` are for the next ones instead."""

    told: list[tuple[Any, ...]]
    fails: list[Exception | str | None]

    @classmethod
    def get_name(cls) -> str:
        return "kept"

    def notify(self, info: dict[str, Any], **_: Any) -> None:
        failure = self.fails.pop(0) if self.fails else None
        if isinstance(failure, Exception):
            raise failure
        if failure is not None:  # as some of OSProfiler's own do
            logging.getLogger("osprofiler.drivers.sqlalchemy_driver").error(failure)
        self.told.append((self.project, self.service, self.host, info))


@pytest.fixture
def kept() -> Iterator[type[Kept]]:
    Kept.told, Kept.fails = [], []
    yield Kept
    del Kept.told, Kept.fails


def test_a_span_is_told_as_a_service_would_have(kept: type[Kept]) -> None:
    found = span(1, parent=id_of(7), start_info={"host": "own", "db": 1}, service="")
    assert Backend(parse("kept://")).send([found]) == Outcome()
    ids = {
        "base_id": str(uuid.UUID(int=1000)),
        "trace_id": str(uuid.UUID(int=1)),
        "parent_id": str(uuid.UUID(int=7)),
        "project": "p",
        "service": None,
    }
    at = "2020-09-13T12:26:40.000000"
    assert kept.told == [
        (
            "p",
            "",
            "h",
            {"name": "rpc-start", "timestamp": at, **ids, "info": {"host": "own", "db": 1}},
        ),
        ("p", "", "h", {"name": "rpc-stop", "timestamp": at, **ids, "info": {"host": "h"}}),
    ]


def test_what_was_not_heard_is_not_told() -> None:
    assert [event["name"] for event in events_of(span(stop_ns=None))] == ["rpc-start"]
    assert [event["name"] for event in events_of(span(start_ns=None))] == ["rpc-stop"]


@pytest.mark.parametrize("failure", [ConnectionError("gone"), "could not write"])
def test_what_fails_is_tried_again_from_there(
    kept: type[Kept], failure: Exception | str, caplog: pytest.LogCaptureFixture
) -> None:
    """Check drivers that raise, and drivers that only log: the service's log has nothing of it."""
    backend = Backend(parse("kept://"))
    kept.fails = [None, None, None, failure, failure]  # the stop of the second, and the third
    with pytest.raises(TryAgain, match=r"gone|could not write") as raised:
        backend.send([span(1), span(2), span(3), span(4)])
    # What was not tried yet goes first.
    assert (raised.value.left, raised.value.failed) == ([span(4), span(2), span(3)], 0)
    assert caplog.messages == []
    logging.getLogger("osprofiler.drivers.sqlalchemy_driver").error("of somebody else")
    assert caplog.messages == ["of somebody else"]


def test_what_another_thread_says_is_its_own(
    kept: type[Kept], caplog: pytest.LogCaptureFixture
) -> None:
    class Elsewhere(Kept):
        @classmethod
        def get_name(cls) -> str:
            return "elsewhere"

        def notify(self, info: dict[str, Any], **_: Any) -> None:
            logger = logging.getLogger("osprofiler.drivers.sqlalchemy_driver")
            thread = threading.Thread(target=logger.error, args=("of somebody else",))
            thread.start()
            thread.join()

    assert Backend(parse("elsewhere://")).send([span()]) == Outcome()
    assert set(caplog.messages) == {"of somebody else"}


@pytest.mark.parametrize(
    ("to", "what"),
    [
        ("nosuch://h", "OSProfiler has no driver 'nosuch'"),
        ("jaeger://h", "Jaeger speaks OTLP"),
        ("messaging://", "transport_url is missing"),
    ],
)
def test_what_cannot_be_a_back_end_is_said(to: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        Backend(parse(to))


# ---- what cannot be said there ------------------------------------------------------------------


class DataError(Exception):
    """An error with the name that DB-API and redis use."""


class WriteError(Exception):
    """An error with the name that MongoDB uses."""


class TooLarge(WriteError):
    """A kind of it."""


PROBLEMS: dict[str, Exception] = {
    "overflow": OverflowError("MongoDB can only handle up to 8-byte ints"),
    "unicode": UnicodeEncodeError("utf-8", "x", 0, 1, "surrogates not allowed"),
    "key": KeyError("x"),
    "data": DataError("value too long"),
    "large": TooLarge("BSON"),
    "odd": RuntimeError("of a kind that nobody knows"),
    "gone": ConnectionError("gone"),
}


class Picky(Kept):
    """A driver that raises the problem with whose name a span comes."""

    @classmethod
    def get_name(cls) -> str:
        return "picky"

    def notify(self, info: dict[str, Any], **_: Any) -> None:
        name = info["name"].rpartition("-")[0]
        if name in PROBLEMS:
            raise PROBLEMS[name]
        self.told.append((self.project, self.service, self.host, info))


def told(picky: type[Kept]) -> list[int]:
    """Return the numbers of the spans whose stop the driver has got."""
    return [
        uuid.UUID(info["trace_id"]).int for *_, info in picky.told if info["name"].endswith("-stop")
    ]


@pytest.mark.parametrize("problem", ["overflow", "unicode", "key", "data", "large"])
def test_what_cannot_be_said_there_is_left_out_alone(kept: type[Kept], problem: str) -> None:
    odd = span(9, name=problem)
    outcome = Backend(parse("picky://")).send([span(1), odd, odd, odd, span(2)])
    assert outcome[:2] == (0, 3)
    assert str(PROBLEMS[problem]) in outcome.why
    assert told(kept) == [1, 2]


def test_what_fails_for_no_known_reason_is_tried_after_the_others(kept: type[Kept]) -> None:
    backend = Backend(parse("picky://"))
    odd = span(9, name="odd")
    for number in (1, 2):
        with pytest.raises(TryAgain, match="nobody knows") as raised:
            backend.send([odd, span(number)])
        assert (raised.value.left, raised.value.failed) == ([odd], 0)
    assert backend.send([odd, span(3)])[:2] == (0, 1)
    assert told(kept) == [1, 2, 3]


def test_a_span_is_not_to_blame_while_nothing_arrives(kept: type[Kept]) -> None:
    backend = Backend(parse("kept://"))
    kept.fails = [ConnectionError("gone")] * 20
    for _ in range(10):
        with pytest.raises(TryAgain, match="gone") as raised:
            backend.send([span(1), span(2), span(3)])
        assert raised.value.failed == 0
    assert backend.send([span(1), span(2), span(3)]) == Outcome()


@pytest.mark.parametrize("problem", ["odd", "gone"])
def test_one_that_never_arrives_holds_up_nobody_else(kept: type[Kept], problem: str) -> None:
    limits = Limits(batch_items=5, batch_seconds=0.0, pause_seconds=0.001)
    forwarder = Forwarder("to", Backend(parse("picky://")), SPANS, limits)
    forwarder.put([row(1), row(1000, name=problem)])
    for number in range(2, 100):
        forwarder.put([row(number)])
        until(lambda: forwarder.sent >= number, lambda: str(forwarder.lost), SECONDS)  # noqa: B023
    until(lambda: bool(forwarder.lost), lambda: "not lost", SECONDS)
    forwarder.stop(time.monotonic() + SECONDS)
    forwarder.join()
    assert (forwarder.sent, forwarder.lost) == (99, {"failed": 1})
    assert sorted(told(kept)) == list(range(1, 100))


kinds = st.lists(st.sampled_from(["rpc", "rpc", "overflow", "data", "large"]), max_size=12)


@settings(max_examples=30, deadline=None)
@given(kinds, st.integers(1, 4))
def test_every_span_that_can_be_said_arrives(kinds: list[str], batch_spans: int) -> None:
    Kept.told, Kept.fails = [], []
    limits = Limits(batch_items=batch_spans, batch_seconds=0.0, pause_seconds=0.001)
    forwarder = Forwarder("to", Backend(parse("picky://")), SPANS, limits)
    forwarder.put(row(number, name=kind) for number, kind in enumerate(kinds, 1))
    forwarder.stop(time.monotonic() + SECONDS)
    forwarder.join()
    good = [number for number, kind in enumerate(kinds, 1) if kind == "rpc"]
    assert told(Kept) == good
    assert (forwarder.sent, forwarder.lost.total()) == (len(good), len(kinds) - len(good))
    assert forwarder.lost["failed"] == forwarder.lost.total()


# ---- what hangs ---------------------------------------------------------------------------------


class Hung(Kept):
    """A driver that hangs until it may go on."""

    go: threading.Event
    calls: int

    @classmethod
    def get_name(cls) -> str:
        return "hung"

    def notify(self, info: dict[str, Any], **_: Any) -> None:
        type(self).calls += 1
        self.go.wait(SECONDS)


def test_a_driver_that_hangs_is_left_and_so_many_at_a_time() -> None:
    Hung.go, Hung.calls = threading.Event(), 0
    backend = Backend(parse("hung://"), timeout_seconds=0.05)
    spans = [span(1), span(2)]
    while Hung.calls < MOST_HANGING:  # a driver may be made too slowly
        with pytest.raises(TryAgain, match=r"timed out|calls hang"):
            backend.send(spans)
    with pytest.raises(TryAgain, match="calls hang"):
        backend.send(spans)
    assert Hung.calls == MOST_HANGING
    Hung.go.set()

    def arrive() -> bool:
        try:
            return backend.send(spans) == Outcome()
        except TryAgain:
            return False

    until(arrive, lambda: "never", SECONDS)
    backend.close()


def test_where_each_takes_its_time_the_rest_goes_next(
    kept: type[Kept], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check that spans that have arrived are counted, for any number of them."""
    now = [0.0]

    def notified(driver: Any, span: Any) -> None:
        now[0] += 4.0

    backend = Backend(parse("kept://"), timeout_seconds=10.0)
    monkeypatch.setattr(module, "_notify", notified)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    outcome = backend.send([span(number) for number in range(5)])
    assert outcome == Outcome(left=(span(3), span(4)))


def test_a_redis_that_drips_is_left_and_its_connection_ended() -> None:
    def drips(client: Conversation) -> None:
        client.listen()
        client.drip(b"+" + b"a" * 100_000 + b"\r\n")

    server = Misbehaving(drips)
    backend = Backend(parse(f"redis://127.0.0.1:{server.port}"), timeout_seconds=0.3)
    for _ in range(3):
        with pytest.raises(TryAgain, match="timed out"):
            backend.send([span(1)])
    assert server.over.acquire(timeout=2.0)  # before it would have ended by itself
    backend.close()
    server.close()


@pytest.mark.parametrize(
    ("to", "asked"),
    [
        ("redis://u:p@h:1/0", "redis://u:p@h:1/0?socket_timeout=2.5&socket_connect_timeout=2.5"),
        ("redis://h?socket_timeout=9", "redis://h?socket_connect_timeout=2.5&socket_timeout=9"),
        (
            "mongodb://a,b:2?tag=x&tag=y",
            "mongodb://a,b:2/?connectTimeoutMS=2500&socketTimeoutMS=2500"
            "&serverSelectionTimeoutMS=2500&tag=x&tag=y",
        ),
        (
            "mysql+pymysql://h/d",
            "mysql+pymysql://h/d?connect_timeout=2&read_timeout=2&write_timeout=2",
        ),
        ("postgresql://h/d", "postgresql://h/d?connect_timeout=2"),
        ("elasticsearch://h", "elasticsearch://h"),
    ],
)
def test_libraries_are_told_how_long_to_wait(to: str, asked: str) -> None:
    assert module._bounded(parse(to), 2.5) == asked
