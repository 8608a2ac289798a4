# SPDX-License-Identifier: Apache-2.0
"""The processes that open calls wait for in vain, because they do not run.

A server's call waits for its own process. A client's waits for the servers of its topic: which
these are on this node is known from what they have served.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from shmetrics.lanes.halts import Halt
from shmetrics.lanes.lane import Lane, OpenCall
from shmetrics.oslo_families import RPC_CLIENT, RPC_SERVER
from shmetrics.tables.in_flight import label_of


class Server(NamedTuple):
    """A server as clients name it."""

    exchange: str
    topic: str
    server: str


class Unanswered:
    """Says which process should answer an open call and does not run."""

    def __init__(self, halts: Mapping[Lane, Halt]) -> None:
        """Look at what the processes that do not run have served.

        Args:
            halts: why the process of a lane does not run, for those that do not.
        """
        self._halts = halts
        self._servers = {
            lane: {
                Server(*(label_of(family, values, name) for name in Server._fields))
                for family, values in lane.bindings.calls.values()
                if family.definition.name == RPC_SERVER.name
            }
            for lane in halts
        }

    def by(self, lane: Lane, call: OpenCall) -> str:
        """Return in words which process should answer a call and does not run; "" for none."""
        own = self._halts.get(lane)
        if own is not None:
            return f"its own process is {own.state}"
        if call.family.definition.name != RPC_CLIENT.name:
            return ""
        wanted = Server(*(label_of(call.family, call.values, name) for name in Server._fields))
        silent = [
            f"{server.owner.process} (pid {server.owner.pid_label}) is {self._halts[server].state}"
            for server, served in self._servers.items()
            if any(_answers(each, wanted) for each in served)
        ]
        return ", ".join(silent)


def _answers(server: Server, wanted: Server) -> bool:
    return server[:2] == wanted[:2] and wanted.server in ("", server.server)
