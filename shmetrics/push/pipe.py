# SPDX-License-Identifier: Apache-2.0
"""The end of a pipe: STDIN is handed on to STDOUT byte for byte, and looked through on the way."""

from __future__ import annotations

from collections.abc import Callable

from shmetrics.errors import ShmetricsError
from shmetrics.push import standard
from shmetrics.push.pump import Pump


def copy(look: Callable[[bytearray, int], None], is_quiet: bool = False) -> None:
    """Copy STDIN to STDOUT until it ends.

    Args:
        look: looks at what goes by.
        is_quiet: whether nothing is handed on.

    Raises:
        BrokenPipeError: nobody reads STDOUT any more.
        ShmetricsError: it cannot be read or written.
    """
    standard.open_closed()
    pump = Pump(standard.take_stdin(), None if is_quiet else 1, look)
    pump.run()
    pump.close()
    if isinstance(pump.problem, BrokenPipeError):
        raise pump.problem
    if pump.problem is not None:
        raise ShmetricsError(f"the pipe: {pump.problem.strerror}")
