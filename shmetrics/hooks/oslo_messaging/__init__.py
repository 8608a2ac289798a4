# SPDX-License-Identifier: Apache-2.0
"""The oslo.messaging driver ``shmetrics``: measures RPC and notifications, delegates everything.

A service turns it on in one line of its configuration, by naming it before its real driver::

    transport_url = shmetrics+rabbit://user:pass@host:5672/

oslo.messaging loads the part before the first ``+``, this package loads the part after it::

    RPCClient ──► Driver.send ───────────────► real driver ──► broker
                  └ oslo_messaging_rpc_client_*
    RPCServer ◄── Listener's callback ◄─────── real listener ◄─ broker
                  └ Incoming: from receipt to reply: oslo_messaging_rpc_server_*

=============  =====================================================================
`driver`       stands for the real driver: loads it, wraps what goes out and the listeners
`sending`      what goes out by RPC: the real ``send`` with a call around it
`incoming`     what comes in: one message, from its receipt to its end
`listener`     wraps the callback through which messages come in
`labels`       raw values of a target or message to label values
`endpoint`     which endpoint a message will be dispatched to
`raised`       the name under which an exception is counted
`recorder`     raw values to instruments, through a bounded cache; never raises
`proxy`        an object that is another object in all that it does not override
=============  =====================================================================
"""

from shmetrics.hooks.oslo_messaging.driver import Driver

__all__ = ["Driver"]
