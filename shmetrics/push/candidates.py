# SPDX-License-Identifier: Apache-2.0
"""The lines in a block of output that may be metric lines. All others cost next to nothing.

A pattern is looked for without a thread switch. So blocks are looked through in slices: whoever
hands output on meanwhile waits no longer than for one of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from shmetrics.lines.line import IDENTITY

TYPED: Final = b"type=metric"
EQUALS: Final = b"="
_SLICE_BYTES: Final = 32 * 1024

# Patterns begin with one certain byte, which is what the engine is fastest at looking for.
_TYPED_LINE = re.compile(rb"\n([^\n]*type=metric[^\n]*)")
# A line without a type has numbers alone, beside what says whose it is. That no number goes on
# where one has ended is said at once: the engine would try its shorter parts otherwise.
_NUMBER = rb"[-+]?(?:[0-9]+(?![0-9])\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?(?=[ \t\r\n])"
_WORD = (
    rb"(?:[A-Za-z_][A-Za-z0-9_.:/-]*=(?:" + _NUMBER + rb"|[-+]?(?i:nan|inf|infinity))"
    rb"|(?:" + "|".join(sorted(IDENTITY)).encode() + rb")=[^ \t\n]*)"
)
_PLAIN_LINE = re.compile(rb"\n([ \t]*" + _WORD + rb"(?:[ \t]+" + _WORD + rb")*[ \t\r]*)(?=\n)")


def candidates(block: bytes, is_typed: bool = False) -> Iterator[bytes]:
    """Yield the lines of a block that may be metric lines, without their ends.

    Args:
        block: whole lines with their ends.
        is_typed: whether only lines with `type=metric` are wanted.
    """
    patterns = [] if is_typed else [_PLAIN_LINE]
    if TYPED in block:
        patterns.append(_TYPED_LINE)
    block = b"\n" + block
    begin, last = 0, len(block) - 1
    while begin < last:
        end = block.find(b"\n", begin + _SLICE_BYTES)
        end = last if end < 0 else end
        for pattern in patterns:
            for match in pattern.finditer(block, begin, end + 1):
                yield match[1]
        begin = end
