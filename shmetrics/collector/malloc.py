# SPDX-License-Identifier: Apache-2.0
"""Large memory goes back to the system as soon as nobody needs it."""

from __future__ import annotations

import contextlib
import ctypes

LARGE_BYTES = 128 * 1024
_M_MMAP_THRESHOLD = -3  # mallopt(3)


def give_back() -> None:
    """From now on, whatever takes LARGE_BYTES is a mapping of its own.

    The GNU C library begins so, and then learns from what is freed: the numbers of a scrape, a few
    megabytes, would come from the heap after the first one, and stay there. Another C library does
    as it likes.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
