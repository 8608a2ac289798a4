# SPDX-License-Identifier: Apache-2.0
"""Boots of the machine: each one begins the monotonic clock anew.

A store outlives boots, and numbers them. A moment of one boot is earlier than any moment of the
next boot; within a boot the monotonic clock orders them. The wall clock orders nothing here,
because it can be set.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import Final

CLOCK_BYTES: Final = 16
FIRST: Final = 1024  # older stores did not number boots: their moments come before this one
LAST: Final = (1 << 14) - 1  # the number stays here; later reboots are not told apart

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_OFFSETS = Path("/proc/self/timens_offsets")
_STAMP_BITS = 50  # a unit is 16 µs
_DROPPED_BITS = 64 - _STAMP_BITS


def clock() -> bytes:
    """Return a name of this process's monotonic clock, CLOCK_BYTES long.

    The name is made of the kernel's id of the boot and of the offsets that the time namespace adds.
    In a container the kernel may tell neither; then all clocks have the same name.
    """
    text = b""
    for path in (_BOOT_ID, _OFFSETS):
        with contextlib.suppress(OSError):
            text += b" ".join(path.read_bytes().split()) + b"\n"
    return hashlib.blake2b(text, digest_size=CLOCK_BYTES).digest()


def moment(boot: int, stamp_ns: int) -> int:
    """Return a 64-bit number that orders moments over all boots: the larger, the later.

    Args:
        boot: the number of the boot, see Store.boot_of().
        stamp_ns: the monotonic clock of that boot. Moments of one boot are told apart to 16 µs.
    """
    return boot << _STAMP_BITS | stamp_ns >> _DROPPED_BITS
