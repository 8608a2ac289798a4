# SPDX-License-Identifier: Apache-2.0
"""A replacement of the profiler within one of OSProfiler's own sources of spans.

OSProfiler's listeners, its adapter and its middleware look up `profiler` in their module for each
span. So replacing it there reaches those that were set up before and those that come later, and
they need not be found.
"""

from __future__ import annotations

from typing import Any

from osprofiler import profiler

__all__ = ["ProfilerPatch", "SilentProfiler"]


class SilentProfiler:
    """A profiler that begins and ends no span. All else is OSProfiler's module `profiler`."""

    def start(self, name: str, info: dict[str, Any] | None = None) -> None: ...

    def stop(self, info: dict[str, Any] | None = None) -> None: ...

    def __getattr__(self, name: str) -> Any:
        return getattr(profiler, name)


class ProfilerPatch:
    """The profiler of one of OSProfiler's modules, replaced until undo()."""

    def __init__(self, module: Any, replacement: SilentProfiler) -> None:
        """Replace ``module.profiler``."""
        self._module = module
        self._before = module.profiler
        self._replacement = replacement
        module.profiler = replacement

    def undo(self) -> None:
        """Put the profiler back, if the replacement is still there."""
        if self._module.profiler is self._replacement:
            self._module.profiler = self._before
