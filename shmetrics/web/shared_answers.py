# SPDX-License-Identifier: Apache-2.0
"""Requests that come together share one answer.

An answer shows every event that was published before its request began. So whoever comes before the
drain for an answer begins can share it, and whoever comes later cannot: of each kind there is at
most one answer being made and one that waits for its turn, however many ask.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Kind = TypeVar("Kind", bound=Hashable)
Answer = TypeVar("Answer")


class SharedAnswers(Generic[Kind, Answer]):
    """make: begins an answer of a kind, and makes it; it is awaited for one kind at a time."""

    def __init__(self, make: Callable[[Kind], Awaitable[Answer]]) -> None:
        self._make = make
        self._to_come: dict[Kind, asyncio.Task[Answer]] = {}
        self._turn = asyncio.Lock()

    async def get(self, kind: Kind) -> Answer:
        """An answer that is begun after this is called. Raises what make raises."""
        coming = self._to_come.get(kind)
        if coming is None:
            coming = self._to_come[kind] = asyncio.create_task(self._begin(kind))
        return await asyncio.shield(coming)  # one who leaves does not take it from the others

    async def _begin(self, kind: Kind) -> Answer:
        async with self._turn:
            del self._to_come[kind]  # from here on it is too old for whoever comes
            return await self._make(kind)
