# SPDX-License-Identifier: Apache-2.0
"""Services that cannot be changed: oslo.metrics's own protocol, JSON in unix datagrams.

message.py understands a datagram, receiver.py folds it into the families of calls, listener.py owns
the socket. What such a service does not send (an end after an exception, the server side) is not
made up here: the counts are what was sent.
"""

from shmetrics.sources.oslo_metrics.listener import Listener
from shmetrics.sources.oslo_metrics.message import FAMILIES
from shmetrics.sources.oslo_metrics.receiver import CallFamily, Receiver

__all__ = ["FAMILIES", "CallFamily", "Listener", "Receiver"]
