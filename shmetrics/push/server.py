# SPDX-License-Identifier: Apache-2.0
"""The server at the gatherer's socket for lines: which unit sends, and how many lines it may.

Each connection belongs to one unit: that of the process that has made it, which the kernel tells.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple

from shmetrics.lines.line import Refused
from shmetrics.lines.owner import Owner
from shmetrics.push import protocol
from shmetrics.registration.peer import Peer, lives, peer_of
from shmetrics.token_buckets import TokenBuckets
from shmetrics.unix_socket import Access, bound, remove

BACKLOG: Final = 128
#: Connections and packets per wake-up, so that a flood leaves time for other work.
BATCH: Final = 32
ACCEPT_PAUSE_SECONDS: Final = 1.0
LOOK_AGAIN_SECONDS: Final = 60.0


class Rates(NamedTuple):
    """The bounds of what may come.

    Attributes:
        lines_per_second: lines of one unit.
        burst_lines: lines that may come at once.
        connections: connections at a time.
        connections_per_uid: those of one user.
    """

    lines_per_second: float = 100.0
    burst_lines: float = 1000.0
    connections: int = 512
    connections_per_uid: int = 128


class _Client:
    """A connection, and the owner of its lines, or the reason why it has none."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.peer = peer_of(sock)
        self.owner: Owner | Refused = Refused("unknown_peer", "it has not been looked for")
        self.claimed = ""
        self.look_again_at = 0.0  # for its unit


class LineServer:
    """A listening socket, and its connections."""

    def __init__(
        self,
        path: str,
        access: Access,
        owner_of: Callable[[Peer, str], Owner],
        take: Callable[[Owner, bytes], None],
        count: Callable[[str], None],
        rates: Rates = Rates(),  # noqa: B008
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Bind the socket, and listen.

        Args:
            path: the path of the socket.
            access: the permissions of its file.
            owner_of: finds the unit of a peer, when it connects, with ""; and again if it gives
                itself a name, with that. It raises Refused.
            take: called with each line; it counts what becomes of it, and raises nothing.
            count: called with the reason for what does not come to `take`: `too_often`, `too_many`
                (connections), `too_long` (a packet), `unknown_peer`, or that of `owner_of`.
            rates: how much may come.
            monotonic: a clock, in seconds.

        Raises:
            ShmetricsError: there can be no socket at *path*.
        """
        self._path = path
        self._owner_of = owner_of
        self._take = take
        self._count = count
        self._rates = rates
        self._monotonic = monotonic
        self._buckets = TokenBuckets[tuple[str, str]](1 / rates.lines_per_second, rates.burst_lines)
        self._clients: set[_Client] = set()
        self._of_uid: Counter[int] = Counter()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._resuming: asyncio.TimerHandle | None = None
        self._socket = bound(path, socket.SOCK_SEQPACKET, access)
        self._socket.listen(BACKLOG)
        self._inode = os.stat(path).st_ino

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Accept connections in a loop from now on."""
        self._loop = loop
        self._resuming = None
        loop.add_reader(self._socket, self._accept)

    def close(self) -> None:
        """Read a last batch of each connection, end it, and remove the socket's file."""
        for client in list(self._clients):
            self._read(client)
            self._end(client)
        if self._resuming is not None:
            self._resuming.cancel()
        if self._loop is not None:
            self._loop.remove_reader(self._socket)
        self._socket.close()
        remove(self._path, self._inode)

    def _accept(self) -> None:
        for _ in range(BATCH):
            try:
                sock, _ = self._socket.accept()
            except BlockingIOError:
                return
            except OSError:  # no descriptor is left, most likely; the socket would be ready anew
                self._pause()
                return
            client = _Client(sock)
            if (
                len(self._clients) >= self._rates.connections
                or self._of_uid[client.peer.uid] >= self._rates.connections_per_uid
            ):
                self._count("too_many")
                sock.close()
                continue
            sock.setblocking(False)
            self._attribute(client)
            self._clients.add(client)
            self._of_uid[client.peer.uid] += 1
            assert self._loop is not None  # it has called us
            self._loop.add_reader(sock, self._read, client)

    def _attribute(self, client: _Client) -> None:
        """Find the unit of a peer, which has to live still: its pid is not another's then."""
        pid = client.peer.pid
        client.look_again_at = self._monotonic() + LOOK_AGAIN_SECONDS
        try:
            client.owner = self._owner_of(client.peer, client.claimed)
            if not lives(client.socket):
                raise Refused("unknown_peer", f"pid {pid} had ended before it was known")
        except Refused as why:
            self._count(why.reason)
            client.owner = why

    def _look_again(self, client: _Client) -> None:
        """Find a unit that was too young to be known. What a process has left is its unit's."""
        if self._monotonic() >= client.look_again_at and lives(client.socket):
            self._attribute(client)

    def _pause(self) -> None:
        assert self._loop is not None  # it has called us
        self._count("too_many")
        self._loop.remove_reader(self._socket)
        self._resuming = self._loop.call_later(ACCEPT_PAUSE_SECONDS, self.start, self._loop)

    def _read(self, client: _Client) -> None:
        for _ in range(BATCH):
            try:
                packet, _, flags, _ = client.socket.recvmsg(protocol.MOST_PACKET_BYTES)
            except BlockingIOError:
                return
            except OSError:  # its end was killed, with an answer unread
                packet = b""
            if not packet:
                self._end(client)
                return
            if flags & socket.MSG_TRUNC:
                self._count("too_long")
            elif not self._is_taken(client, packet):
                self._end(client)
                return

    def _is_taken(self, client: _Client, packet: bytes) -> bool:
        """Take a packet; return False if the connection is to end."""
        claimed = protocol.claimed(packet)
        if claimed and isinstance(client.owner, Owner):
            client.claimed = claimed
            self._attribute(client)
        self._look_again(client)
        owner = client.owner
        if isinstance(owner, Refused):
            self._answer(client, f"refused {owner.reason}: {owner}")
            return False
        if claimed is not None:
            self._answer(client, f"ok {owner.unit}")
            return True
        now = self._monotonic()
        key = owner.unit, owner.kind
        for line in packet.split(b"\n"):
            if not line:
                continue
            if self._buckets.take(key, now):
                self._take(owner, line)
            else:
                self._count("too_often")
        return True

    @staticmethod
    def _answer(client: _Client, text: str) -> None:
        # One that does not read its answers, or is gone, goes without.
        with contextlib.suppress(OSError):
            client.socket.send(text.encode(errors="replace")[: protocol.MOST_PACKET_BYTES])

    def _end(self, client: _Client) -> None:
        if client not in self._clients:
            return
        self._clients.remove(client)
        self._of_uid[client.peer.uid] -= 1
        if not self._of_uid[client.peer.uid]:
            del self._of_uid[client.peer.uid]
        assert self._loop is not None
        self._loop.remove_reader(client.socket)
        client.socket.close()
