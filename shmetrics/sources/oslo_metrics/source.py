# SPDX-License-Identifier: Apache-2.0
"""The source of oslo.metrics's protocol: its socket, and the families that it counts in."""

from __future__ import annotations

import asyncio
import os

from shmetrics.sources.oslo_metrics.listener import Listener
from shmetrics.sources.oslo_metrics.message import FAMILIES
from shmetrics.sources.oslo_metrics.receiver import Receiver
from shmetrics.sources.source import Count
from shmetrics.store.families import Families
from shmetrics.store.histograms import CallFamily
from shmetrics.store.holders import COLLECTOR
from shmetrics.store.shares import owner_of
from shmetrics.unix_socket import Access


class OsloMetrics:
    """The source of oslo.metrics's protocol."""

    def __init__(self, path: str, access: Access, families: Families, count: Count) -> None:
        """Bind the socket. Raises ShmetricsError, one line, if it cannot be had."""
        receiver = Receiver(_families(families), count)
        self._listener = Listener(path, access, receiver.take)

    def start(self) -> None:
        """Read in the loop that runs, whenever it has time."""
        self._listener.start(asyncio.get_running_loop())

    def close(self) -> None:
        """Take all that was sent already, then remove the socket and its file."""
        self._listener.close()


def _families(families: Families) -> dict[str, tuple[CallFamily, tuple[str, ...]]]:
    """Define the families of the protocol, by prefix, with their label names; held for ever."""
    found = {}
    for definition in FAMILIES:
        family = families.define(definition, owner_of(os.geteuid()))
        if isinstance(family, CallFamily):
            families.hold(family, definition, COLLECTOR)
            found[definition.name] = family, definition.label_names
    return found
