# SPDX-License-Identifier: Apache-2.0
"""A sender of datagrams. A datagram counts as arrived once it is sent: UDP has no answers."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence

from shmetrics.destinations.metrics.encoder import Part
from shmetrics.forwarding.byte_stream import said
from shmetrics.forwarding.sender import Outcome, TryAgain
from shmetrics.http_client import lookups


class DatagramSender:
    """A sender over UDP, or to a unix socket. No datagram is sent twice."""

    def __init__(
        self, host: str = "", port: int = 0, path: str = "", timeout_seconds: float = 10.0
    ) -> None:
        """Prepare to send; nothing is opened yet.

        Args:
            host: the receiver's host, or "".
            port: its port.
            path: the receiver's unix socket, or "".
            timeout_seconds: how long the look-up of the name, or a full socket, may take.
        """
        self._host = host
        self._port = port
        self._path = path
        self._timeout_seconds = timeout_seconds
        self._socket: socket.socket | None = None

    def send(self, parts: Sequence[Part]) -> Outcome:
        """Send the datagrams of parts one by one; see Sender."""
        n_failed, why = 0, ""
        for number, part in enumerate(parts):
            for at, (datagram, n) in enumerate(part.content):
                try:
                    self._socket = self._socket or self._connected()
                    self._socket.send(datagram)
                except OSError as error:
                    if error.errno == errno.EMSGSIZE:
                        n_failed, why = n_failed + n, f"{len(datagram)} bytes: {said(error)}"
                        continue
                    self.close()
                    left = part.content[at:]
                    rest = part.rest(left, sum(n for _, n in left))
                    raise TryAgain(
                        said(error), left=[rest, *parts[number + 1 :]], failed=n_failed
                    ) from None
        return Outcome(failed=n_failed, why=why)

    def _connected(self) -> socket.socket:
        """Return a connected socket, which over UDP hears of a port that nobody has."""
        address: object = self._path
        family = socket.AF_UNIX
        if self._host:
            found = lookups.addresses(self._host, self._port, self._timeout_seconds)
            family, _, _, _, address = found[0]
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.settimeout(self._timeout_seconds)
            sock.connect(address)  # type: ignore[arg-type]
        except OSError:
            sock.close()
            raise
        return sock

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
