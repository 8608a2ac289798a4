# SPDX-License-Identifier: Apache-2.0
"""A source of metrics: services that cannot be changed and speak oslo.metrics's own protocol.

The protocol is JSON in unix datagrams. message.py decodes a datagram, receiver.py adds it to the
families of calls, listener.py owns the socket, source.py joins them. Such a service does not send
everything (no end after an exception, nothing of the server side). Nothing is invented here: only
what was sent is counted.
"""

from shmetrics.sources.oslo_metrics.listener import Listener
from shmetrics.sources.oslo_metrics.receiver import CallFamily, Receiver
from shmetrics.sources.oslo_metrics.source import OsloMetrics

__all__ = ["CallFamily", "Listener", "OsloMetrics", "Receiver"]
