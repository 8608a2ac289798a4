# SPDX-License-Identifier: Apache-2.0
"""The oslo.messaging driver ``shmetrics``: measures RPC and notifications, delegates everything.

A service turns it on in one line of its configuration, by naming it before its real driver::

    transport_url = shmetrics+rabbit://user:pass@host:5672/

oslo.messaging loads the part before the first ``+``, this package loads the part after it::

    RPCClient ──► Driver.send ───────────────► real driver ──► broker
                  └ oslo_messaging_rpc_client_*
    RPCServer ◄── Listener's callback ◄─────── real listener ◄─ broker
                  └ Incoming: from receipt to reply: oslo_messaging_rpc_server_*

In a process with ``SHMETRICS_OSLO_MESSAGING=1`` the URL stays as it is, and `every_transport` puts
`Driver` around the driver that oslo.messaging has loaded.

=================  =================================================================
`real`             loads the real driver
`every_transport`  puts `driver` around it where no URL asks for it
`driver`           the driver around it: measures what it sends, and wraps its listeners
`_messages`        the work for each message, compiled: its call is begun and ended
`sending`          the real ``send`` of RPC with a call around it
`listener`         wraps the callback that gets the messages
`tracing`          spans of RPC, and the trace within a message, where these are switched on
`labels`           label values, from the raw values of a target or message
`endpoint`         the endpoint that a message will be dispatched to
`raised`           the name under which an exception is counted
`proxy`            an object that behaves like another one in all that it does not override
=================  =================================================================

Exceptions that are expected, and replies that reach nobody, are counted in `outcomes`.
Where the compiled part does not work (`shmetrics.binding`), the real driver is used alone.
"""

from typing import TYPE_CHECKING

from shmetrics.binding import refusal

if TYPE_CHECKING or not refusal:
    from shmetrics.hooks.oslo_messaging.driver import Driver
else:
    from shmetrics.hooks.oslo_messaging.real import real_driver

    Driver = real_driver

__all__ = ["Driver"]
