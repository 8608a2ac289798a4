# SPDX-License-Identifier: Apache-2.0
"""The interface of formats: a snapshot becomes parts, which a destination takes one by one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, Protocol

from shmetrics.destinations.metrics.snapshot import Snapshot
from shmetrics.forwarding.forwarder import Kind


@dataclass(frozen=True, eq=False)
class Part:
    """A part of a snapshot as it is sent.

    Attributes:
        content: the bytes, or the datagrams, or whatever its sender takes.
        n: how many series it has.
        size_bytes: the memory that it takes.
        taken_at: the moment of the snapshot, as time.monotonic().
    """

    content: Any
    n: int
    size_bytes: int
    taken_at: float

    def rest(self, content: Any, n: int) -> Part:
        """Return what is left to send of this part."""
        return replace(self, content=content, n=n)


class Encoded(NamedTuple):
    """A snapshot in a format.

    Attributes:
        parts: the parts, in their order.
        n_unfit: how many series the format has no way to express; they are left out.
    """

    parts: Sequence[Part]
    n_unfit: int = 0


class Encoder(Protocol):
    """A format. One thread uses it, with one snapshot after the other."""

    def encode(self, snapshot: Snapshot) -> Encoded:
        """Return a snapshot in the format."""


def whole(content: bytes, n: int, snapshot: Snapshot) -> Part:
    """Return a part that is some bytes."""
    return Part(content, n, sys.getsizeof(content) + _OBJECT_BYTES, snapshot.taken_at)


# What a part takes beside its content, roughly; see sys.getsizeof.
_OBJECT_BYTES: Final = 200
_PIECE_BYTES: Final = 120  # the bytes of a piece, their pair, and its place in the list


def pieces(
    contents: Sequence[tuple[bytes, int]], n: int, content_bytes: int, snapshot: Snapshot
) -> Part:
    """Return a part that is several pieces.

    Args:
        contents: the pieces, each with how many series it has.
        n: how many series they have together.
        content_bytes: how long they are together.
        snapshot: the snapshot that they are of.
    """
    size_bytes = content_bytes + _PIECE_BYTES * len(contents) + _OBJECT_BYTES
    return Part(contents, n, size_bytes, snapshot.taken_at)


PARTS: Final = Kind[Part, Part](
    "series",
    size_bytes=lambda part: part.size_bytes,
    item=lambda part: part,
    count=lambda part: part.n,
    since=lambda part: part.taken_at,
    keeps_newest=True,
)
