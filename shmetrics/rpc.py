# SPDX-License-Identifier: Apache-2.0
"""RPC calls of oslo.messaging, client and server side, with the labels oslo.metrics gave them."""

from __future__ import annotations

from shmetrics.dictionary import Definition
from shmetrics.emitter.children import CallsChild
from shmetrics.emitter.instruments import Calls
from shmetrics.emitter.process import process_name

_client = Calls(
    "oslo_messaging_rpc_client",
    "RPC calls of oslo.messaging, as the client sees them",
    (
        *("call_type", "exchange", "topic", "namespace", "version", "server", "fanout"),
        *("process", "method", "timeout"),
    ),
)
_server = Calls(
    "oslo_messaging_rpc_server",
    "RPC calls of oslo.messaging, as the server sees them",
    ("exchange", "topic", "server", "endpoint", "namespace", "version", "method", "process"),
)

CLIENT: Definition = _client.definition
SERVER: Definition = _server.definition


def _labelled(family: Calls, given: dict[str, object]) -> CallsChild:
    values = dict.fromkeys(family.definition.label_names, "") | {"process": process_name()} | given
    return family.labels(**{name: "" if v is None else v for name, v in values.items()})


def client_call(**labels: object) -> CallsChild:
    """The client side of a call. Labels are keywords, empty if left out; `process` is this one."""
    return _labelled(_client, labels)


def server_call(**labels: object) -> CallsChild:
    """The server side of a call, likewise."""
    return _labelled(_server, labels)
