# SPDX-License-Identifier: Apache-2.0
"""Names of block devices, found by the numbers under which cgroups have them."""

from __future__ import annotations

import os
from typing import Final

_BLOCK: Final = "/sys/dev/block"
_MOST_NAMES: Final = 4096

_names: dict[tuple[int, int], str] = {}


def name_of(major: int, minor: int) -> str:
    """Return the name of a device, such as `/dev/sda`; its numbers if the system has none."""
    number = major, minor
    if number not in _names:
        if len(_names) >= _MOST_NAMES:
            _names.clear()
        try:
            target = os.readlink(f"{_BLOCK}/{major}:{minor}")
            _names[number] = f"/dev/{os.path.basename(target).replace('!', '/')}"
        except OSError:
            return f"{major}:{minor}"
    return _names[number]
