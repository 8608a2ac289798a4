# SPDX-License-Identifier: Apache-2.0
"""The standard descriptors of this process, any of which may be closed when it begins."""

from __future__ import annotations

import os


def open_closed() -> None:
    """Give closed ones to /dev/null.

    Otherwise the next file that is opened has such a number, and whoever means STDOUT writes to it.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def take_stdin() -> int:
    """Return STDIN under another number, so that the other end learns when that is closed."""
    taken = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return taken
