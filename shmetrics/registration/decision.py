# SPDX-License-Identifier: Apache-2.0
"""The decision about a process that asks for a lane: granted or refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from shmetrics.registration.peer import Peer
from shmetrics.registration.protocol import Hello, Result


class Granted(NamedTuple):
    """A lane for a process.

    Attributes:
        lane_id: the id of the lane.
        lane_fd: the descriptor of its file; the server closes it after sending it.
        kick_fd: the eventfd to wake the collector with, for protocol 1; the collector keeps it.
    """

    lane_id: int
    lane_fd: int
    kick_fd: int | None = None


class Refused(NamedTuple):
    """A refusal, with its reason. It is an answer and not an exception."""

    result: Result
    text: str


AdmitFunction = Callable[[Peer], Refused | None]
GrantFunction = Callable[[Peer, Hello], Granted | Refused]
