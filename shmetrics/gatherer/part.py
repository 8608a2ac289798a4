# SPDX-License-Identifier: Apache-2.0
"""The seam for parts of the gatherer: passes over units, and what else runs in its loop."""

from __future__ import annotations

from typing import Protocol


class Part(Protocol):
    """A part of the gatherer.

    Its constructor opens what it needs, or raises ShmetricsError with one line for the user.
    """

    def start(self) -> None:
        """Begin, in the asyncio loop that runs."""

    async def close(self) -> None:
        """End, and give back what the constructor has opened. Called once, started or not."""
