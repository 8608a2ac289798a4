# SPDX-License-Identifier: Apache-2.0
"""The interface of senders, and the results and errors of sending."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

Item_contra = TypeVar("Item_contra", contravariant=True)


class TryAgain(Exception):
    """Sending may work later: the destination does not answer, or is overloaded."""

    def __init__(
        self,
        why: str,
        after_seconds: float = 0.0,
        left: Sequence[Any] | None = None,
        failed: int = 0,
        refused: int = 0,
    ) -> None:
        """Describe the failure.

        Args:
            why: the reason, in one line.
            after_seconds: the shortest pause that the destination asked for.
            left: the items of the batch to try again; None: all of them.
            failed: how many of the others can never be sent.
            refused: how many of the others the destination refused; the rest has arrived.
        """
        super().__init__(why)
        self.after_seconds = after_seconds
        self.left = left
        self.failed = failed
        self.refused = refused


class Refused(Exception):
    """The destination refused a batch for good."""


class Outcome(NamedTuple):
    """The result of a batch. Items that none of these numbers counts have arrived.

    Attributes:
        refused: how many the destination refused.
        failed: how many can never be sent there.
        why: the reason for one of those.
        left: items for which there was no time; they are sent next.
    """

    refused: int = 0
    failed: int = 0
    why: str = ""
    left: Sequence[Any] = ()


class Sender(Protocol[Item_contra]):
    """A sender to one destination. One thread uses it, and each call ends within bounded time."""

    def send(self, items: Sequence[Item_contra], /) -> Outcome:
        """Send a batch of items, and return what became of it.

        Raises:
            TryAgain: sending may work later.
            Refused: the destination refused the batch for good.
        """

    def close(self) -> None:
        """Close the connection."""
