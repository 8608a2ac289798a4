# SPDX-License-Identifier: Apache-2.0
"""One answer for all requests that come together.

An answer has to show every event that was published before its request. So requests that come
before an answer is begun share it, and later ones cannot. Of each kind there is at most one answer
being made and one that waits, however many requests come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Kind = TypeVar("Kind", bound=Hashable)
Answer = TypeVar("Answer")


class SharedAnswers(Generic[Kind, Answer]):
    """A maker of answers, one at a time."""

    def __init__(self, make: Callable[[Kind], Awaitable[Answer]]) -> None:
        """Take the function that makes an answer of a kind."""
        self._make = make
        self._to_come: dict[Kind, asyncio.Task[Answer]] = {}
        self._turn = asyncio.Lock()

    async def get(self, kind: Kind) -> Answer:
        """Return an answer that was begun after this call. Raises what make raises."""
        coming = self._to_come.get(kind)
        if coming is None:
            coming = self._to_come[kind] = asyncio.create_task(self._begin(kind))
        return await asyncio.shield(coming)  # the others go on if this caller leaves

    async def _begin(self, kind: Kind) -> Answer:
        async with self._turn:
            del self._to_come[kind]  # from here on it is too old for a new request
            return await self._make(kind)
