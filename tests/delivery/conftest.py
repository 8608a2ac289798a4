# SPDX-License-Identifier: Apache-2.0
"""Lines to deliver."""

from __future__ import annotations

from typing import Any

from shmetrics.config.deliver import Deliver
from shmetrics.delivery.message import Message
from shmetrics.lines.line import Line, parse
from shmetrics.lines.owner import Owner

SECONDS = 60.0
TIME_NS = 1_600_000_000_123_456_789
GEAR = Owner("5f", "gear", {"appName": "A", "gear": "5f", "app": "U", "ns": "N"})
WEB = Owner("web.service", "systemd")


def line(text: str) -> Line:
    found = parse(text.encode())
    assert found is not None
    return found


def message(text: str, unit: str = "web", time_ns: int = TIME_NS) -> Message:
    return Message(time_ns, unit, "systemd", text)


def wanted(to: str, **options: Any) -> Deliver:
    """Return a place that is sent to at once."""
    return Deliver(to=to, **{"batch_seconds": 0.01, "timeout_seconds": 5.0, **options})
