# SPDX-License-Identifier: Apache-2.0
"""What a forwarder sends through, and how that may fail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from shmetrics.traces.reader import StoredSpan


class TryAgain(Exception):
    """It may work later: nobody answered, or who did has too much to do.

    after_seconds: no earlier, if it was said. left: what of the batch is to be tried again, None:
    all of it. failed: so many of the rest never will be; the others have arrived.
    """

    def __init__(
        self,
        why: str,
        after_seconds: float = 0.0,
        left: Sequence[StoredSpan] | None = None,
        failed: int = 0,
    ) -> None:
        super().__init__(why)
        self.after_seconds = after_seconds
        self.left = left
        self.failed = failed


class Refused(Exception):
    """It was heard, and will not be taken, however often it is said."""


class Outcome(NamedTuple):
    """What became of a batch: all that is not told apart here has arrived.

    refused: so many the other side did not take. failed: so many cannot be said there, and why, of
    one of them. left: for these there was no time; they go next.
    """

    refused: int = 0
    failed: int = 0
    why: str = ""
    left: Sequence[StoredSpan] = ()


class Sender(Protocol):
    """Used by one thread. Whatever it does ends by itself within bounded time."""

    def send(self, spans: Sequence[StoredSpan]) -> Outcome:
        """Has them arrive, as far as they can. Raises TryAgain and Refused."""

    def close(self) -> None:
        """Lets go of its connection."""
