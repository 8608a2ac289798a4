# SPDX-License-Identifier: Apache-2.0
"""Record metrics into shared memory.

These are the names of the emitting side: instruments that cost nanoseconds, raise nothing and never
block. The collector and its commands are in subpackages that an emitting process never imports.

Each name is loaded at its first use and not before: a hook that a service's configuration loads is
a module of this package, and has to load even where the compiled part does not.
"""

from __future__ import annotations

from shmetrics.version import __version__ as __version__

TYPE_CHECKING = False  # what typing has under this name, without importing it
if TYPE_CHECKING:
    from shmetrics.dictionary import DEFAULT_BUCKETS
    from shmetrics.emitter.instruments import Calls, Counter, Gauge, Histogram, ObservedCounter
    from shmetrics.emitter.process import status

__all__ = [
    "DEFAULT_BUCKETS",
    "Calls",
    "Counter",
    "Gauge",
    "Histogram",
    "ObservedCounter",
    "get_include",
    "status",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'shmetrics' has no attribute {name!r}")
    from shmetrics.emitter import instruments, process

    found: object = getattr(process if name == "status" else instruments, name)
    globals()[name] = found
    return found


def get_include() -> str:
    """Return the directory with the C headers, for a C compiler's include path."""
    import os

    return os.path.join(os.path.dirname(__file__), "include")
