# SPDX-License-Identifier: Apache-2.0
"""The source of oslo.metrics's protocol: its socket, and the families that it counts in."""

from __future__ import annotations

import asyncio
import os

from shmetrics.sources.oslo_metrics.listener import Listener
from shmetrics.sources.oslo_metrics.message import FAMILIES
from shmetrics.sources.oslo_metrics.receiver import Lanes, Receiver
from shmetrics.sources.source import Count
from shmetrics.store.families import Families
from shmetrics.store.histograms import CallFamily
from shmetrics.store.holders import COLLECTOR
from shmetrics.store.shares import owner_of
from shmetrics.unix_socket import Access

SETTLE_SECONDS = 0.25  # between two looks at what waits


class OsloMetrics:
    """The source of oslo.metrics's protocol."""

    def __init__(
        self, path: str, access: Access, families: Families, count: Count, lanes: Lanes
    ) -> None:
        """Bind the socket.

        Args:
            path: the path of the socket.
            access: the permissions of its file.
            families: all families of the node.
            count: called for each datagram with its result.
            lanes: knows what processes record in lanes.

        Raises:
            ShmetricsError: the socket cannot be had.
        """
        self._receiver = Receiver(_families(families), count, lanes)
        self._listener = Listener(path, access, self._receiver.take)
        self._settling: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Read in the loop that runs, whenever it has time."""
        loop = asyncio.get_running_loop()
        self._listener.start(loop)
        self._settle(loop)

    def _settle(self, loop: asyncio.AbstractEventLoop) -> None:
        self._settling = loop.call_later(SETTLE_SECONDS, self._settle, loop)
        self._receiver.settle()

    def close(self) -> None:
        """Take all that was sent already, then remove the socket and its file."""
        if self._settling is not None:
            self._settling.cancel()
        self._listener.close()
        self._receiver.settle(is_last=True)


def _families(families: Families) -> dict[str, tuple[CallFamily, tuple[str, ...]]]:
    """Define the families of the protocol, by prefix, with their label names; held for ever."""
    found = {}
    for definition in FAMILIES:
        family = families.define(definition, owner_of(os.geteuid()))
        if isinstance(family, CallFamily):
            families.hold(family, definition, COLLECTOR)
            found[definition.name] = family, definition.label_names
    return found
