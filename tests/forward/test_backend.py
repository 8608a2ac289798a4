# SPDX-License-Identifier: Apache-2.0
"""Spans as OSProfiler's notifications, through its drivers."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from osprofiler.drivers import base

from shmetrics.errors import ConfigError
from shmetrics.forward.backend import Backend, events_of
from shmetrics.forward.destination import parse
from shmetrics.forward.sender import TryAgain

from .conftest import id_of, span


class Kept(base.Driver):
    """Keeps what it is told; `fails` are for the next notifications instead."""

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
    assert Backend(parse("kept://")).send([found]) == 0
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
    """Whether a driver raises, or only says so in its log, which it is spared then."""
    backend = Backend(parse("kept://"))
    kept.fails = [None, None, None, failure]  # the stop of the second
    with pytest.raises(TryAgain, match=r"gone|could not write") as raised:
        backend.send([span(1), span(2), span(3)])
    assert raised.value.n_sent == 1
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

    assert Backend(parse("elsewhere://")).send([span()]) == 0
    assert set(caplog.messages) == {"of somebody else"}


@pytest.mark.parametrize(
    ("to", "what"),
    [
        ("nosuch://h", "OSProfiler has no driver 'nosuch'"),
        ("jaeger://h", "Jaeger speaks OTLP"),
        ("messaging://", "it takes a transport_url"),
    ],
)
def test_what_cannot_be_a_back_end_is_said(to: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        Backend(parse(to))
