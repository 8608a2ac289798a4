# SPDX-License-Identifier: Apache-2.0
"""What is decided about a process that asks for a lane."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from shmetrics.registration.peer import Peer
from shmetrics.registration.protocol import Hello, Result


class Granted(NamedTuple):
    """A lane for a peer. lane_fd is closed once it is sent; kick_fd, for those who ask in the
    protocol that has one, stays the collector's."""

    lane_id: int
    lane_fd: int
    kick_fd: int | None = None


class Refused(NamedTuple):
    """No lane, and why. Raised at nobody: it is an answer."""

    result: Result
    text: str


Admit = Callable[[Peer], Refused | None]
Grant = Callable[[Peer, Hello], Granted | Refused]
