# SPDX-License-Identifier: Apache-2.0
"""A function of another library's class or module, replaced until undo()."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


class Patch:
    """A replaced function of a class or a module.

    If another library has replaced it in turn, undo() leaves both replacements. So a replacement
    has to check whether it is still wanted, and otherwise just call the original.
    """

    def __init__(
        self, owner: Any, name: str, around: Callable[[Callable[..., Any]], Callable[..., Any]]
    ) -> None:
        """Replace ``owner.name`` by what *around* returns for the original function."""
        self._owner = owner
        self._name = name
        self._inherited = name not in vars(owner)
        self._before = getattr(owner, name)
        self._now = functools.wraps(self._before)(around(self._before))
        setattr(owner, name, self._now)

    def undo(self) -> None:
        """Put the original function back, if the replacement is still there."""
        if vars(self._owner).get(self._name) is not self._now:
            return
        if self._inherited:
            delattr(self._owner, self._name)
        else:
            setattr(self._owner, self._name, self._before)
