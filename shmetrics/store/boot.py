# SPDX-License-Identifier: Apache-2.0
"""Boots of the machine: with each of them the monotonic clock begins anew.

A store lives through many, and numbers them. A moment of a boot is earlier than any of the next
one, and within a boot that clock says what was earlier: no wall clock, which can be set, has a say.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import Final

CLOCK_BYTES: Final = 16
FIRST: Final = 1024  # a moment of a store that did not number them is one of an earlier boot
LAST: Final = (1 << 14) - 1  # from then on reboots do not tell

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_OFFSETS = Path("/proc/self/timens_offsets")
_STAMP_BITS = 50  # 16 us each
_DROPPED_BITS = 64 - _STAMP_BITS


def clock() -> bytes:
    """Names the monotonic clock of this process, in CLOCK_BYTES: by the boot, and by what the time
    namespace adds. The kernel of a container may say neither: then there is one clock."""
    said = b""
    for path in (_BOOT_ID, _OFFSETS):
        with contextlib.suppress(OSError):
            said += b" ".join(path.read_bytes().split()) + b"\n"
    return hashlib.blake2b(said, digest_size=CLOCK_BYTES).digest()


def moment(boot: int, stamp_ns: int) -> int:
    """When something was, in 64 bits: the larger, the later, over all boots.

    stamp_ns: of that boot's monotonic clock. Moments of one boot are told apart to 16 us.
    """
    return boot << _STAMP_BITS | stamp_ns >> _DROPPED_BITS
