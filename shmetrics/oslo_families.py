# SPDX-License-Identifier: Apache-2.0
"""The four families of calls of oslo.messaging, as every side of them has them.

`rpc.py` and the hook record into them, and the collector's oslo.metrics source fills the first two.
The labels of these two are oslo.metrics's own.

Some services name a target by a UUID that each process makes at its start, or by that of a machine.
Such a name is no label value: it is new each time, and stays for ever. Where targets become labels,
a UUID in them is replaced.
"""

from __future__ import annotations

import re
from typing import Final

from shmetrics import layout
from shmetrics.dictionary import DEFAULT_BUCKETS, Definition

#: What is shown in place of a UUID.
UUID: Final = "__uuid__"

#: The labels that come from the name of a target.
TARGET_LABELS: Final = frozenset({"exchange", "topic", "server"})

_UUID = re.compile(
    r"(?<![0-9a-f])[0-9a-f]{8}(-?)[0-9a-f]{4}(?:\1[0-9a-f]{4}){2}\1[0-9a-f]{12}(?![0-9a-f])",
    re.IGNORECASE,
)


def without_uuids(name: str) -> str:
    """Return a name with each UUID replaced, as people write it or as 32 digits."""
    return _UUID.sub(UUID, name)


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
