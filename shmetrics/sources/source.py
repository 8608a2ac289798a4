# SPDX-License-Identifier: Apache-2.0
"""The seam for sources: what brings series or spans beside the lanes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

#: Counts one thing that came, by its result: TAKEN, or the reason for not taking it in one word.
Count: TypeAlias = Callable[[str], None]

TAKEN = "taken"


class Source(Protocol):
    """A source of series or spans.

    Its constructor takes the place for its series (Families) or spans (Traces), and a Count. It
    opens what the source listens on, or raises ShmetricsError with one line for the user.
    """

    def start(self) -> None:
        """Take what comes, from now on."""

    def close(self) -> None:
        """Take what has come already, and close what the source listens on."""
