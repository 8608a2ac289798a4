# SPDX-License-Identifier: Apache-2.0
"""A listener that hears nothing says which exchanges there are, if the broker tells."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kombu.connection
import pytest

from shmetrics.cli import notifications
from shmetrics.cli.notifications import SILENT_SECONDS
from shmetrics.sources.notifications.exchanges import KNOWN, why_silent
from shmetrics.sources.notifications.listener import Endpoint, Listener
from shmetrics.traces.store import Limits
from shmetrics.traces.traces import Traces
from tests.servers.rabbitmq import RabbitMQ

Connection: Any = kombu.connection.Connection


def listener(url: str, traces: Traces) -> Listener:
    return Listener(url, ["silent"], ["nova", "heat"], "silent", Endpoint(traces))


@pytest.fixture
def traces(tmp_path: Path) -> Iterator[Traces]:
    traces = Traces(tmp_path / "traces.db", Limits())
    yield traces
    traces.close()


def test_what_a_broker_has(rabbitmq: RabbitMQ, traces: Traces) -> None:
    with Connection(rabbitmq.url.replace("rabbit", "amqp")) as connection:
        for name in ("vitrage", "zaqar", "somebody's own"):
            connection.channel().exchange_declare(name, "topic", auto_delete=False)
    found = listener(rabbitmq.url, traces)
    found.start()
    said = found.why_silent(SILENT_SECONDS)
    found.close()
    assert said.startswith("nothing came in 60 s from exchange nova, heat; the broker also has ")
    others = said.partition("also has ")[2].partition(":")[0].split(", ")
    assert {"vitrage", "zaqar"} <= set(others) <= set(KNOWN) - {"nova", "heat"}
    assert len(said) < notifications.LONGEST_LINE


def test_a_broker_that_cannot_be_asked(traces: Traces) -> None:
    found = listener("fake://", traces)
    found.start()
    said = found.why_silent(60)
    found.close()
    assert "does not tell which exchanges it has (AttributeError)" in said


@pytest.mark.parametrize(
    ("is_told", "results", "n_lines"), [(False, {}, 1), (False, {"taken": 1}, 0), (True, {}, 0)]
)
def test_the_command_says_it_if_nothing_came(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    is_told: bool,
    results: dict[str, int],
    n_lines: int,
) -> None:
    monkeypatch.setattr(notifications, "SILENT_SECONDS", 0.0)
    told = threading.Event()
    if is_told:
        told.set()
    notifications._warn_of_silence(told, results, lambda seconds: f"nothing in {seconds} s")
    assert caplog.messages == ["nothing in 0.0 s"] * n_lines


def test_a_broker_with_no_other_exchange() -> None:
    assert "no other exchange" in why_silent(KNOWN, contextlib.nullcontext, 60)
