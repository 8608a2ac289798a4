# SPDX-License-Identifier: Apache-2.0
"""The lines in a block of output that may be metric lines. All others cost next to nothing.

The compiled module lets other threads run while it looks. Where it cannot be loaded, the slow way
stands in for it, and says the same: a program is not to miss its run for that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from shmetrics.lines.line import IDENTITY

TYPED: Final = b"type=metric"
EQUALS: Final = b"="

_WORD = (
    rb"(?:[A-Za-z_][A-Za-z0-9_.:/-]*=[-+.0-9nNiI][A-Za-z0-9_+,.-]*"
    rb"|(?:" + "|".join(sorted(IDENTITY)).encode() + rb")=[^ \t\r]*)"
)
_PLAIN_LINE = re.compile(rb"[ \t\r]*" + _WORD + rb"(?:[ \t\r]+" + _WORD + rb")*[ \t\r]*")


def slow_candidates(block: bytes, is_typed: bool = False) -> Iterator[bytes]:
    """Yield the lines of a block that may be metric lines, without their ends.

    Args:
        block: whole lines with their ends.
        is_typed: whether only lines with `type=metric` are wanted.
    """
    for line in block.split(b"\n"):
        if TYPED in line or (not is_typed and _PLAIN_LINE.fullmatch(line)):
            yield line


candidates: Callable[[bytes, bool], Iterator[bytes]]
try:
    from shmetrics.push._candidates import Candidates

    candidates = Candidates
except ImportError:
    candidates = slow_candidates
