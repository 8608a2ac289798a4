# SPDX-License-Identifier: Apache-2.0
"""The driver that measures messages around the real driver.

`Driver` overrides the four methods of oslo.messaging's driver contract that messages pass (``send``
is made in `sending`); all else is the real driver's own. Each method passes on exactly the
arguments that it got, so a parameter that oslo.messaging adds later needs no change here.
"""

from typing import Any

from shmetrics.hooks.oslo_messaging import instruments
from shmetrics.hooks.oslo_messaging._messages import Recorder, end, rpc_sent_key
from shmetrics.hooks.oslo_messaging.failures import failed
from shmetrics.hooks.oslo_messaging.labels import (
    notification_sent_key,
    notification_sent_labels,
    rpc_sent_labels,
)
from shmetrics.hooks.oslo_messaging.listener import notification_listener, rpc_listener
from shmetrics.hooks.oslo_messaging.origin import Origins
from shmetrics.hooks.oslo_messaging.proxy import Proxy
from shmetrics.hooks.oslo_messaging.raised import name_of_raised
from shmetrics.hooks.oslo_messaging.real import real_driver
from shmetrics.hooks.oslo_messaging.sending import Send, sender
from shmetrics.hooks.tracing import switches

__all__ = ["Driver", "around"]


class Driver(Proxy):
    """The driver named after the first ``+`` of *url*'s scheme, measured.

    Takes what oslo.messaging gives to any driver. Raises what the real driver's loading and
    construction raise, and `InvalidTransportURL` if *url* names no real driver.
    """

    __slots__ = ("_shm_exchange", "_shm_families", "_shm_notifications", "_shm_tracing", "send")

    _shm_exchange: Any
    _shm_families: instruments.Instruments
    _shm_notifications: Recorder
    _shm_tracing: Any
    send: Send

    def __init__(self, conf: Any, url: Any, *args: Any, **kwargs: Any) -> None:
        exchange = args[0] if args else kwargs.get("default_exchange")
        self._shm_measure(real_driver(conf, url, *args, **kwargs), conf, exchange)

    def _shm_measure(self, real: Any, conf: Any, exchange: Any) -> None:
        super().__init__(real)
        families = instruments.load()
        self._shm_exchange = exchange
        self._shm_families = families
        calls = Recorder(
            rpc_sent_key, lambda key: families.rpc_client(rpc_sent_labels(key, exchange))
        )
        send = sender(self._shm_real, calls)
        self._shm_tracing = tracing(conf)
        if self._shm_tracing is not None:
            send = self._shm_tracing.sender(self._shm_real, calls, send)
        object.__setattr__(self, "send", send)
        self._shm_notifications = Recorder(
            notification_sent_key,
            lambda key: families.notification_client(notification_sent_labels(key, exchange)),
        )

    def send_notification(
        self, target: Any, ctxt: Any, message: Any, *args: Any, **kwargs: Any
    ) -> Any:
        if self._shm_tracing is None:
            return self._shm_send_notification(target, ctxt, message, *args, **kwargs)
        send = self._shm_send_notification
        return self._shm_tracing.notify(send, target, ctxt, message, *args, **kwargs)

    def _shm_send_notification(
        self, target: Any, ctxt: Any, message: Any, *args: Any, **kwargs: Any
    ) -> Any:
        opened = self._shm_notifications.start(target, message, args, kwargs)
        try:
            result = self._shm_real.send_notification(target, ctxt, message, *args, **kwargs)
        except BaseException as error:
            end(opened, name_of_raised(error))
            raise
        end(opened)
        return result

    def listen(self, target: Any, *args: Any, **kwargs: Any) -> Any:
        real = self._shm_real.listen(target, *args, **kwargs)
        families = self._shm_families
        try:
            return rpc_listener(real, families, target, self._shm_exchange, self._shm_tracing)
        except Exception as error:
            failed(error)
            return real

    def listen_for_notifications(
        self, targets_and_priorities: Any, *args: Any, **kwargs: Any
    ) -> Any:
        real = self._shm_real.listen_for_notifications(targets_and_priorities, *args, **kwargs)
        instrument = self._shm_families.notification_server
        try:
            origins = Origins(targets_and_priorities, self._shm_exchange)
            return notification_listener(real, instrument, origins)
        except Exception as error:
            failed(error)
            return real


def around(real: Any) -> Driver:
    """Return a driver that measures what the driver *real* sends and receives.

    Its default exchange is the one that oslo.messaging gives to every driver.
    """
    made = Driver.__new__(Driver)
    made._shm_measure(real, real.conf, real.conf.control_exchange)
    return made


def tracing(conf: Any) -> Any:
    """Return the tracing of RPC that a configuration wants, or None.

    This also turns on the other sources of spans that `[profiler]` switches on.
    """
    found = switches.setup(conf)
    if not found.rpc:
        return None
    try:
        from shmetrics.hooks.oslo_messaging.tracing import Tracing

        return Tracing(found)
    except Exception as error:
        failed(error)
        return None
