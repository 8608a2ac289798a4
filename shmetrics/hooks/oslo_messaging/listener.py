# SPDX-License-Identifier: Apache-2.0
"""Listeners that measure the messages of a real listener, by a wrapped callback.

The labels of a message have two sources. The target that received it is fixed when the service
begins to listen. The rest is in the message, and is the key of the recorder.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from shmetrics.hooks.oslo_messaging import instruments
from shmetrics.hooks.oslo_messaging._messages import (
    Incoming,
    Recorder,
    notification,
    receiver,
    request,
    rpc_received_key,
)
from shmetrics.hooks.oslo_messaging.endpoint import endpoint_name, is_heard
from shmetrics.hooks.oslo_messaging.instruments import Instrument
from shmetrics.hooks.oslo_messaging.labels import notification_received_labels, rpc_received_labels
from shmetrics.hooks.oslo_messaging.origin import Origins
from shmetrics.hooks.oslo_messaging.outcomes import Outcomes
from shmetrics.hooks.oslo_messaging.proxy import Proxy

__all__ = ["Listener", "notification_listener", "rpc_listener"]

#: From the callback of a server to the function that wraps one message on its way to it.
Wrapping: TypeAlias = Callable[[Any], Callable[[Any], Incoming]]


class Listener(Proxy):
    """The listener *real*, with its messages wrapped by *wrapping* before the callback."""

    __slots__ = ("_shm_wrapping",)

    _shm_wrapping: Wrapping

    def __init__(self, real: Any, wrapping: Wrapping) -> None:
        super().__init__(real)
        self._shm_wrapping = wrapping

    def start(self, on_incoming_callback: Any, *args: Any, **kwargs: Any) -> Any:
        on_incoming = receiver(on_incoming_callback, self._shm_wrapping(on_incoming_callback))
        return self._shm_real.start(on_incoming, *args, **kwargs)


def rpc_listener(
    real: Any,
    families: instruments.Instruments,
    target: Any,
    default_exchange: Any,
    tracing: Any = None,
) -> Listener:
    """Measure the messages that *real* receives for an RPC server.

    Args:
        real: the real listener.
        families: the families of this hook.
        target: the target that the server listens on.
        default_exchange: the exchange if the target has none.
        tracing: continues the traces of messages; None if RPC is not traced.
    """

    def wrapping(callback: Any) -> Callable[[Any], Incoming]:
        def labels(key: Any) -> instruments.Labels:
            endpoint = endpoint_name(callback, *key)
            return rpc_received_labels(key, target, default_exchange, endpoint)

        calls = Recorder(rpc_received_key, lambda key: families.rpc_server(labels(key)))
        outcomes = Outcomes(real, families, labels)
        if tracing is None:
            return request(calls, outcomes, outcomes.dropped)
        traced: Callable[[Any], Incoming] = tracing.requests(calls, outcomes, target)
        return traced

    return Listener(real, wrapping)


def notification_listener(real: Any, instrument: Instrument, origins: Origins) -> Listener:
    """Measure the messages that *real* receives for a notification listener on *origins*."""

    def key(incoming: Any) -> Any:
        message = incoming.message
        return origins.of(message), message.get("priority"), message.get("event_type")

    def wrapping(callback: Any) -> Callable[[Any], Incoming]:
        def make(key: Any) -> Any:
            (exchange, topic), priority, event_type = key
            heard = is_heard(callback, priority)
            return instrument(
                notification_received_labels(exchange, topic, priority, event_type, heard)
            )

        return notification(Recorder(key, make))

    return Listener(real, wrapping)
