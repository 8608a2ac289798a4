# SPDX-License-Identifier: Apache-2.0
"""A function of a class or a module of somebody else's, replaced until undo()."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


class Patch:
    """owner.name is what around() makes of the function that was there.

    If somebody has put another one around ours meanwhile, undo() leaves both. So what around()
    makes has to be told apart by whoever made it, and then only calls what was there before.
    """

    def __init__(
        self, owner: Any, name: str, around: Callable[[Callable[..., Any]], Callable[..., Any]]
    ) -> None:
        self._owner = owner
        self._name = name
        self._inherited = name not in vars(owner)
        self._before = getattr(owner, name)
        self._now = functools.wraps(self._before)(around(self._before))
        setattr(owner, name, self._now)

    def undo(self) -> None:
        """What was there is there again."""
        if vars(self._owner).get(self._name) is not self._now:
            return
        if self._inherited:
            delattr(self._owner, self._name)
        else:
            setattr(self._owner, self._name, self._before)
