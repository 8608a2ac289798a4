# SPDX-License-Identifier: Apache-2.0
"""RPC calls of oslo.messaging, client and server side, with the labels oslo.metrics gave them.

A label that is left out, or None, is empty; `process` is this one unless it is given. The labels
may be given anew for each call: a set that is known costs half a microsecond.
"""

from __future__ import annotations

from functools import cache

from shmetrics.binding import ring as _ring
from shmetrics.dictionary import Definition
from shmetrics.emitter.children import CallsChild
from shmetrics.emitter.instruments import Calls
from shmetrics.emitter.process import process_name

_THIS: object = ...  # the same even if this module is loaded again
_this_process = cache(process_name)


def client_call(
    *,
    call_type: object = "",
    exchange: object = "",
    topic: object = "",
    namespace: object = "",
    version: object = "",
    server: object = "",
    fanout: object = "",
    process: object = _THIS,
    method: object = "",
    timeout: object = "",
    **unknown: object,
) -> CallsChild:
    """The client side of a call."""
    try:
        if unknown:
            return _client.wrong_labels()
        if process is _THIS:
            process = _this_process()
        return _client.child(
            (
                call_type,
                exchange,
                topic,
                namespace,
                version,
                server,
                fanout,
                process,
                method,
                timeout,
            ),
            "",
        )
    except MemoryError:
        return _client.wrong_labels(_ring.DROP_NO_MEMORY)
    except Exception:
        return _client.wrong_labels()


def server_call(
    *,
    exchange: object = "",
    topic: object = "",
    server: object = "",
    endpoint: object = "",
    namespace: object = "",
    version: object = "",
    method: object = "",
    process: object = _THIS,
    **unknown: object,
) -> CallsChild:
    """The server side of a call."""
    try:
        if unknown:
            return _server.wrong_labels()
        if process is _THIS:
            process = _this_process()
        return _server.child(
            (exchange, topic, server, endpoint, namespace, version, method, process), ""
        )
    except MemoryError:
        return _server.wrong_labels(_ring.DROP_NO_MEMORY)
    except Exception:
        return _server.wrong_labels()


_client = Calls(
    "oslo_messaging_rpc_client",
    "RPC calls of oslo.messaging, as the client sees them",
    tuple(client_call.__kwdefaults__ or ()),
)
_server = Calls(
    "oslo_messaging_rpc_server",
    "RPC calls of oslo.messaging, as the server sees them",
    tuple(server_call.__kwdefaults__ or ()),
)

CLIENT: Definition = _client.definition
SERVER: Definition = _server.definition
