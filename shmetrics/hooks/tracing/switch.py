# SPDX-License-Identifier: Apache-2.0
"""The switch of one hook, which is off, or on with one instrumentation of its library.

The hooks of Redis, MongoDB and SQLAlchemy are switched in the same way. Each has a class of its own
for what it does to the library.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, ParamSpec, Protocol

__all__ = ["Instrumentation", "Switch"]

P = ParamSpec("P")


class Instrumentation(Protocol):
    """The changes that a hook has made to its library."""

    def undo(self) -> None:
        """Put the library back as it was. Never raises."""
        ...


class Switch(Generic[P]):
    """Holds the instrumentation that is in force, at most one."""

    def __init__(self, instrument: Callable[P, Instrumentation]) -> None:
        """Start switched off.

        Args:
            instrument: changes the library, and returns what undoes the change.
        """
        self._instrument = instrument
        self.installed: Instrumentation | None = None

    def on(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Undo the instrumentation in force, and instrument the library with these arguments.

        Raises:
            Exception: whatever makes it impossible, such as ImportError. The switch is off then.
        """
        self.off()
        self.installed = self._instrument(*args, **kwargs)

    def off(self) -> None:
        """Undo the instrumentation in force, if there is one. Never raises."""
        installed, self.installed = self.installed, None
        if installed is not None:
            installed.undo()
