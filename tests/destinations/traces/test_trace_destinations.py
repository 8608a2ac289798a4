# SPDX-License-Identifier: Apache-2.0
"""Several destinations: none waits for another, not even at the end."""

from __future__ import annotations

import pytest

from shmetrics.config import TracesForward
from shmetrics.destinations.traces import trace_destinations as module
from shmetrics.destinations.traces.trace_destinations import TraceDestinations
from shmetrics.forwarding.sender import Sender
from shmetrics.traces.reader import StoredSpan
from tests.forwarding.script import Script
from tests.forwarding.test_forwarder import Stuck
from tests.servers.processes import until

from .conftest import SECONDS, row, wanted


def test_one_that_hangs_takes_no_time_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    stuck, well = Stuck(), Script()
    senders: dict[str, Sender[StoredSpan]] = {"otlp://stuck": stuck, "otlp://well": well}

    def sender_of(one: TracesForward) -> Sender[StoredSpan]:
        return senders[one.destination.name]

    monkeypatch.setattr(module, "sender_of", sender_of)
    found = TraceDestinations(wanted(name, batch_seconds=SECONDS) for name in senders)
    found.put([row(1), row(2)])
    found.close(seconds=0.5)
    assert [one.sent for one in found.forwarders] == [0, 2]
    assert [dict(one.lost) for one in found.forwarders] == [{"stopped": 2}, {}]
    stuck.go.set()
    until(lambda: stuck.is_closed, lambda: "not closed", SECONDS)
