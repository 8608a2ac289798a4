# SPDX-License-Identifier: Apache-2.0
"""What a forwarder sends through, and how that may fail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from shmetrics.traces.reader import Span


class TryAgain(Exception):
    """It may work later: nobody answered, or who did has too much to do.

    after_seconds: no earlier, if it was said. n_sent: so many of the batch, from its beginning,
    have arrived all the same.
    """

    def __init__(self, why: str, after_seconds: float = 0.0, n_sent: int = 0) -> None:
        super().__init__(why)
        self.after_seconds = after_seconds
        self.n_sent = n_sent


class Refused(Exception):
    """It was heard, and will not be taken, however often it is said."""


class Sender(Protocol):
    """Used by one thread. Whatever it does ends by itself within bounded time."""

    def send(self, spans: Sequence[Span]) -> int:
        """Has them all arrive, but for so many that the other side did not take. Raises TryAgain
        and Refused."""

    def close(self) -> None:
        """Lets go of its connection."""
