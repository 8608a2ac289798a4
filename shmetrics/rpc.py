# SPDX-License-Identifier: Apache-2.0
"""RPC calls of oslo.messaging, client and server side, with the labels oslo.metrics gave them."""

from __future__ import annotations

from shmetrics.emitter.children import CallsChild
from shmetrics.emitter.instruments import Calls
from shmetrics.emitter.process import process_name

CLIENT_PREFIX = "oslo_messaging_rpc_client"
SERVER_PREFIX = "oslo_messaging_rpc_server"
HELP = "RPC calls of oslo.messaging"

CLIENT_LABELS = (
    *("call_type", "exchange", "topic", "namespace", "version", "server", "fanout"),
    *("process", "method", "timeout"),
)
SERVER_LABELS = (
    *("exchange", "topic", "server", "endpoint", "namespace", "version", "method", "process"),
)

_client = Calls(CLIENT_PREFIX, HELP, CLIENT_LABELS)
_server = Calls(SERVER_PREFIX, HELP, SERVER_LABELS)


def _labelled(family: Calls, names: tuple[str, ...], given: dict[str, object]) -> CallsChild:
    values = dict.fromkeys(names, "") | {"process": process_name()} | given
    return family.labels(**{name: "" if v is None else v for name, v in values.items()})


def client_call(**labels: object) -> CallsChild:
    """The client side of a call. Labels are keywords, empty if left out; `process` is this one."""
    return _labelled(_client, CLIENT_LABELS, labels)


def server_call(**labels: object) -> CallsChild:
    """The server side of a call, likewise."""
    return _labelled(_server, SERVER_LABELS, labels)
