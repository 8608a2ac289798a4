# SPDX-License-Identifier: Apache-2.0
"""Users that units belong to: a gear's account has its name, a user manager's its number."""

from __future__ import annotations

import pwd
import re
from typing import Final

from shmetrics.units.unit import GEAR, SYSTEMD

_USER_MANAGER: Final = re.compile(r"user@(\d{1,10})\.service(?:/.*)?")


def of_unit(kind: str, name: str) -> tuple[int | None, str | None]:
    """Return the uid and the home of the user that a unit belongs to; None is not known."""
    try:
        if kind == GEAR:
            account = pwd.getpwnam(name)
            return account.pw_uid, account.pw_dir
        found = _USER_MANAGER.fullmatch(name) if kind == SYSTEMD else None
        if found:
            account = pwd.getpwuid(int(found[1]))
            return account.pw_uid, account.pw_dir
    except (KeyError, OverflowError):
        pass  # an account that is gone, or that was never made
    return None, None
