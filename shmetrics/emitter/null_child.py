# SPDX-License-Identifier: Apache-2.0
"""The child for labels that were wrong."""

from __future__ import annotations

from typing import Any

from shmetrics.binding import ring as _ring


class NullChild:
    """A child that records nothing. It accepts every argument."""

    def inc(self, *_: object, **__: object) -> None:
        """Do nothing."""

    dec = set = observe = set_to_current_time = end = remove = inc
    set_total = new_generation = inc

    def time(self, *_: object, **__: object) -> _ring.Block:
        """Return a block that measures nothing."""
        return _ring.no_block

    track_inprogress = count_exceptions = __call__ = traced = time

    def labels(self, *_: object, **__: object) -> NullChild:
        """Return this child."""
        return self

    def start(self, *_: object, **__: object) -> Any:
        """Return a token that means nothing."""
        return None


NULL_CHILD = NullChild()
