# SPDX-License-Identifier: Apache-2.0
"""Users of this node, with all that a program needs which runs as one of them."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Callable
from typing import NamedTuple

KEPT_SECONDS = 60.0  # a look-up can mean a question to a server
_MOST_KEPT = 4096


class Account(NamedTuple):
    """A user.

    Attributes:
        uid: the number.
        gid: the number of the user's group.
        groups: the numbers of all groups, as initgroups(3) sets them.
        name: the name; the number if there is none.
        home: the home directory; `/` if there is none.
    """

    uid: int
    gid: int
    groups: tuple[int, ...]
    name: str
    home: str


class Accounts:
    """The users of this node, each remembered for a minute."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._kept: dict[int, tuple[float, Account | None]] = {}

    def find(self, uid: int, file: os.stat_result) -> Account | None:
        """Return a user who is to run a file; None if the user's group is not known.

        A user without an entry in the user database has the group of the file, if the file is the
        user's own: only root, or a member, can have given it that.
        """
        now = self._monotonic()
        until, known = self._kept.get(uid, (now, None))
        if until <= now:
            known = _look_up(uid)
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[uid] = now + KEPT_SECONDS, known
        if known is None and file.st_uid == uid:
            return Account(uid, file.st_gid, (file.st_gid,), str(uid), "/")
        return known


def _look_up(uid: int) -> Account | None:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return None
    groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
    return Account(uid, entry.pw_gid, tuple(groups), entry.pw_name, entry.pw_dir or "/")
