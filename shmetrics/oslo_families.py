# SPDX-License-Identifier: Apache-2.0
"""The four families of calls of oslo.messaging, as every side of them has them.

`rpc.py` and the hook record into them, and the collector's oslo.metrics source fills the first two.
The labels of these two are oslo.metrics's own.
"""

from __future__ import annotations

from shmetrics import layout
from shmetrics.dictionary import DEFAULT_BUCKETS, Definition


def _calls(name: str, help: str, *label_names: str) -> Definition:
    return Definition(layout.TYPE_CALLS, name, help, "", "", label_names, DEFAULT_BUCKETS)


RPC_CLIENT = _calls(
    "oslo_messaging_rpc_client",
    "RPC calls of oslo.messaging, as the client sees them",
    *("call_type", "exchange", "topic", "namespace", "version", "server", "fanout"),
    *("process", "method", "timeout"),
)
RPC_SERVER = _calls(
    "oslo_messaging_rpc_server",
    "RPC calls of oslo.messaging, as the server sees them",
    *("exchange", "topic", "server", "endpoint", "namespace", "version", "method", "process"),
)
NOTIFICATION_CLIENT = _calls(
    "oslo_messaging_notification_client",
    "Notifications sent",
    *("exchange", "topic", "priority", "event_type", "version", "process"),
)
NOTIFICATION_SERVER = _calls(
    "oslo_messaging_notification_server",
    "Notifications received",
    *("exchange", "topic", "priority", "event_type", "process"),
)
