# SPDX-License-Identifier: Apache-2.0
"""shmetrics: telemetry through shared memory.

The emitting side: instruments that cost nanoseconds, raise nothing and never block. The collector,
its exposition and its commands are in subpackages that an emitting process never imports.
"""

from __future__ import annotations

from shmetrics.emitter.instruments import DEFAULT_BUCKETS, Calls, Counter, Gauge, Histogram
from shmetrics.emitter.process import start as _start
from shmetrics.emitter.process import status

__version__ = "0.1.0"
__all__ = ["DEFAULT_BUCKETS", "Calls", "Counter", "Gauge", "Histogram", "get_include", "status"]

_start()


def get_include() -> str:
    """The directory with the C headers: add it to a C compiler's include path."""
    import os

    return os.path.join(os.path.dirname(__file__), "include")
