# SPDX-License-Identifier: Apache-2.0
"""The C library's allocator: large memory goes back to the system as soon as it is free."""

from __future__ import annotations

import contextlib
import ctypes

LARGE_BYTES = 128 * 1024
_M_MMAP_THRESHOLD = -3  # mallopt(3)


def give_back() -> None:
    """Let every allocation of LARGE_BYTES or more be a mapping of its own, from now on.

    The GNU C library begins so, but raises the threshold when such a mapping is freed (mallopt(3)):
    after the first scrape, the few megabytes of its numbers would come from the heap, and stay
    there. Other C libraries ignore this.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
