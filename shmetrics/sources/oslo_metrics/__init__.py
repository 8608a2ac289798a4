# SPDX-License-Identifier: Apache-2.0
"""A source of metrics: services that cannot be changed and speak oslo.metrics's own protocol.

The protocol is JSON in unix datagrams. listener.py owns the socket and knows who sends, message.py
decodes a datagram, receiver.py adds it to the families of calls, source.py joins them. Such a
service does not send everything (no end after an exception, nothing of the server side). Nothing is
invented here: only what was sent is counted, and only if the lane of its process does not have it.
"""

from shmetrics.sources.oslo_metrics.listener import Listener
from shmetrics.sources.oslo_metrics.receiver import CallFamily, Lanes, Receiver
from shmetrics.sources.oslo_metrics.source import OsloMetrics

__all__ = ["CallFamily", "Lanes", "Listener", "OsloMetrics", "Receiver"]
