# SPDX-License-Identifier: Apache-2.0
"""The scenario of the broker test: the steps of its services, and the results, written by hand."""

import socket
from collections.abc import Mapping

Labels = frozenset[tuple[str, str]]


def labelled(**labels: str) -> Labels:
    """Return labels as Prometheus keeps them: without empty ones, and with the collector's own."""
    labels = {"hostname": socket.gethostname(), **labels}
    return frozenset((name, value) for name, value in labels.items() if value)


NOVA = {"exchange": "nova", "topic": "compute", "version": "5.0", "process": "nova-api"}
CINDER = {
    "call_type": "call",
    "exchange": "storage",
    "topic": "volume",
    "namespace": "admin",
    "version": "2.1",
    "process": "cinder-api",
    "timeout": "30",
}
COMPUTE = {
    "exchange": "nova",
    "topic": "compute",
    "endpoint": "Compute",
    "version": "5.0",
    "process": "nova-compute",
}
VOLUME = {
    "exchange": "storage",
    "topic": "volume",
    "server": "host-c",
    "endpoint": "Volume",
    "namespace": "admin",
    "version": "2.1",
    "process": "service.py",  # nobody named it: the program's name
}
CREATE = {"topic": "notifications", "priority": "info", "event_type": "instance.create"}
FAULT = {"topic": "notifications", "priority": "error", "event_type": "instance.fault"}
EXTEND = {"topic": "notifications", "priority": "info", "event_type": "volume.extend"}

NOVA_STEPS = [
    *[{"call": "build", "prepare": {"server": "host-a"}, "arguments": {"name": "x"}}] * 3,
    {"call": "build", "prepare": {"server": "host-b", "timeout": 2.5}, "arguments": {"name": "y"}},
    {"call": "token", "prepare": {"server": "host-a", "namespace": "console", "version": "1.0"}},
    {"call": "fail", "prepare": {"server": "host-a"}},
    {"call": "stall", "prepare": {"server": "host-b", "timeout": 1}, "arguments": {"seconds": 2}},
    {"call": "absent", "prepare": {"server": "host-a"}},
    *[{"cast": "reboot", "prepare": {"server": "host-b"}}] * 2,
    {"cast": "refresh", "prepare": {"fanout": True}},
    {"cast": "reboot", "prepare": {"server": "host-a", "fanout": False}},
    *[{"notify": "info", "event": "instance.create"}] * 2,
    {"notify": "error", "event": "instance.fault"},
]
NOVA_OUTCOMES = [
    *["built x"] * 3,
    "built y",
    "token",
    "RemoteError",
    "MessagingTimeout",
    "RemoteError",
    *[None] * 7,
]
CINDER_STEPS = [
    *[{"call": "attach"}] * 2,
    {"call": "resize", "prepare": {"server": "host-c", "timeout": 60}},
    {"notify": "info", "event": "volume.extend"},
]
CINDER_OUTCOMES = ["attached", "attached", "ValueError", None]

RPC_CLIENT = {
    labelled(**NOVA, call_type="call", server="host-a", method="build", timeout="60"): 3,
    labelled(**NOVA, call_type="call", server="host-b", method="build", timeout="2.5"): 1,
    labelled(
        **{**NOVA, "namespace": "console", "version": "1.0"},
        call_type="call",
        server="host-a",
        method="token",
        timeout="60",
    ): 1,
    labelled(**NOVA, call_type="call", server="host-a", method="fail", timeout="60"): 1,
    labelled(**NOVA, call_type="call", server="host-b", method="stall", timeout="1"): 1,
    labelled(**NOVA, call_type="call", server="host-a", method="absent", timeout="60"): 1,
    labelled(**NOVA, call_type="cast", server="host-b", method="reboot"): 2,
    labelled(**NOVA, call_type="cast", fanout="True", method="refresh"): 1,
    labelled(**NOVA, call_type="cast", server="host-a", fanout="False", method="reboot"): 1,
    labelled(**CINDER, method="attach"): 2,
    labelled(**{**CINDER, "server": "host-c", "timeout": "60"}, method="resize"): 1,
}
RPC_CLIENT_EXCEPTIONS = {
    labelled(
        **{**NOVA, "call_type": "call", "server": "host-a", "method": "fail", "timeout": "60"},
        exception="DiskFull",
    ): 1,
    labelled(
        **{**NOVA, "call_type": "call", "server": "host-b", "method": "stall", "timeout": "1"},
        exception="MessagingTimeout",
    ): 1,
    labelled(
        **{**NOVA, "call_type": "call", "server": "host-a", "method": "absent", "timeout": "60"},
        exception="NoSuchMethod",
    ): 1,
    labelled(
        **{**CINDER, "server": "host-c", "timeout": "60", "method": "resize"},
        exception="ValueError",
    ): 1,
}
UNANSWERED = {
    **COMPUTE,
    **dict.fromkeys(["endpoint", "namespace", "version"], ""),
    "method": "__unknown__",
}
RPC_SERVER = {
    labelled(**COMPUTE, server="host-a", method="build"): 3,
    labelled(**COMPUTE, server="host-b", method="build"): 1,
    labelled(
        **{**COMPUTE, "endpoint": "Console", "namespace": "console", "version": "1.0"},
        server="host-a",
        method="token",
    ): 1,
    labelled(**COMPUTE, server="host-a", method="fail"): 1,
    labelled(**COMPUTE, server="host-b", method="stall"): 1,
    labelled(**UNANSWERED, server="host-a"): 1,
    labelled(**COMPUTE, server="host-b", method="reboot"): 2,
    labelled(**COMPUTE, server="host-a", method="refresh"): 1,
    labelled(**COMPUTE, server="host-b", method="refresh"): 1,
    labelled(**COMPUTE, server="host-a", method="reboot"): 1,
    labelled(**VOLUME, method="attach"): 2,
    labelled(**VOLUME, method="resize"): 1,
}
RPC_SERVER_EXCEPTIONS = {
    labelled(**COMPUTE, server="host-a", method="fail", exception="DiskFull"): 1,
    labelled(**UNANSWERED, server="host-a", exception="NoSuchMethod"): 1,
    labelled(**VOLUME, method="resize", exception="ValueError"): 1,
}
NOTIFICATION_CLIENT = {
    labelled(**CREATE, exchange="nova", version="2.0", process="nova-api"): 2,
    labelled(**FAULT, exchange="nova", version="2.0", process="nova-api"): 1,
    labelled(**EXTEND, exchange="cinder", version="2.0", process="cinder-api"): 1,
}
NOTIFICATION_SERVER = {
    labelled(**CREATE, exchange="nova", process="ceilometer"): 2,
    labelled(**FAULT, exchange="nova", process="ceilometer"): 1,
    labelled(**EXTEND, exchange="cinder", process="ceilometer"): 1,
}
FAMILIES: dict[str, tuple[Mapping[Labels, int], Mapping[Labels, int]]] = {
    "oslo_messaging_rpc_client": (RPC_CLIENT, RPC_CLIENT_EXCEPTIONS),
    "oslo_messaging_rpc_server": (RPC_SERVER, RPC_SERVER_EXCEPTIONS),
    "oslo_messaging_notification_client": (NOTIFICATION_CLIENT, {}),
    "oslo_messaging_notification_server": (NOTIFICATION_SERVER, {}),
}
