# SPDX-License-Identifier: Apache-2.0
"""The part of the gatherer that takes lines from programs, at a unix socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from shmetrics.gatherer.lines import Lines
from shmetrics.gatherer.peers import owner_of
from shmetrics.lines.owner import Owner
from shmetrics.push.server import LineServer
from shmetrics.registration.peer import Peer
from shmetrics.units.unit import Unit
from shmetrics.unix_socket import Access

# Every user of the node may send: whose lines they are is known by the kernel, not by the text.
_ACCESS = Access(0o666)


class PushPart:
    """A socket for lines."""

    def __init__(
        self,
        path: str,
        lines: Lines,
        units: Callable[[], Mapping[str, Unit]],
        known_of: Callable[[Unit], Owner],
    ) -> None:
        """Bind the socket.

        Args:
            path: where it is.
            lines: takes the lines.
            units: returns the units that there are now, by path.
            known_of: returns the owner of the lines of a unit.

        Raises:
            ShmetricsError: there can be no socket at *path*.
        """

        def owner(peer: Peer, claimed: str) -> Owner:
            return owner_of(peer, claimed, units(), known_of)

        self._server = LineServer(path, _ACCESS, owner, lines.take, lines.count)

    def start(self) -> None:
        """Take lines from now on."""
        self._server.start(asyncio.get_running_loop())

    async def close(self) -> None:
        """Take what has come, and remove the socket."""
        self._server.close()
