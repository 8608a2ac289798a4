# SPDX-License-Identifier: Apache-2.0
"""Somebody in the stead of OSProfiler's profiler, for a source of spans that OSProfiler has itself.

Its listeners, its adapter and its middleware look for `profiler` in their module whenever they say
something. So whoever is there is asked by those that were set up before, by those that will be, and
in whatever order: they need not be found.
"""

from __future__ import annotations

from typing import Any

from osprofiler import profiler

__all__ = ["ProfilerPatch", "SilentProfiler"]


class SilentProfiler:
    """Begins and ends nothing; in all else, OSProfiler's profiler as it is now."""

    def start(self, name: str, info: dict[str, Any] | None = None) -> None: ...

    def stop(self, info: dict[str, Any] | None = None) -> None: ...

    def __getattr__(self, name: str) -> Any:
        return getattr(profiler, name)


class ProfilerPatch:
    """From now on *module*, one of OSProfiler's, asks *somebody* until undo()."""

    def __init__(self, module: Any, somebody: SilentProfiler) -> None:
        self._module = module
        self._before = module.profiler
        self._somebody = somebody
        module.profiler = somebody

    def undo(self) -> None:
        """It asks whom it asked before."""
        if self._module.profiler is self._somebody:
            self._module.profiler = self._before
