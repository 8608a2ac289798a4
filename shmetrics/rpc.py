# SPDX-License-Identifier: Apache-2.0
"""Record RPC calls of oslo.messaging, client and server side, with the labels of oslo.metrics.

A label that is left out, or None, is empty. `process` is the name of this process unless you give
another. You may give the labels anew for each call: a set that is known costs half a microsecond.

    from shmetrics import rpc
    call = rpc.client_call(call_type="call", exchange="nova", topic="compute", method="build")
    with call():
        ...
"""

from __future__ import annotations

from functools import cache

from shmetrics.binding import layout
from shmetrics.binding import ring as _ring
from shmetrics.emitter.instruments import calls_of
from shmetrics.emitter.process import process_name
from shmetrics.oslo_families import RPC_CLIENT, RPC_SERVER

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
) -> _ring.CallSeries:
    """Return what records the client side of calls with these labels.

    A keyword that is no label is an error: nothing is recorded, and `status()` counts it under
    `dropped`.

    Returns:
        A child of `shmetrics.Calls`, family `oslo_messaging_rpc_client`. Use it with
        `with call(): ...`, or `token = call.start()` and `call.end(token)`.
    """
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
        return _client.wrong_labels(layout.DROP_NO_MEMORY)
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
) -> _ring.CallSeries:
    """Return what records the server side of calls with these labels.

    A keyword that is no label is an error: nothing is recorded, and `status()` counts it under
    `dropped`.

    Returns:
        A child of `shmetrics.Calls`, family `oslo_messaging_rpc_server`. Use it with
        `with call(): ...`, or `token = call.start()` and `call.end(token)`.
    """
    try:
        if unknown:
            return _server.wrong_labels()
        if process is _THIS:
            process = _this_process()
        return _server.child(
            (exchange, topic, server, endpoint, namespace, version, method, process), ""
        )
    except MemoryError:
        return _server.wrong_labels(layout.DROP_NO_MEMORY)
    except Exception:
        return _server.wrong_labels()


_client = calls_of(RPC_CLIENT)
_server = calls_of(RPC_SERVER)
