# SPDX-License-Identifier: Apache-2.0
"""The clock of a trace store: its age, which nobody can set.

It goes on while the machine runs, whether a process has the store open or not. How long the machine
was off is known from the wall clock only, which may be wrong after that; so this time does not
count.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3


def boot_ns() -> int:
    """Return the nanoseconds since the machine was started, with the time that it slept."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def age_ns(db: sqlite3.Connection, boot_ns: int) -> int:
    """Return the age of the store in nanoseconds, and note it in the database.

    Call this from time to time, in a transaction.

    Args:
        db: the trace store.
        boot_ns: the nanoseconds since the machine was started.
    """
    then_ns, noted_ns = db.execute("SELECT boot_ns, age_ns FROM age").fetchone()
    # A clock that went back belongs to a later boot, which began boot_ns ago.
    passed_ns = boot_ns - then_ns if boot_ns >= then_ns else boot_ns
    now_age_ns: int = noted_ns + passed_ns
    db.execute("UPDATE age SET boot_ns = ?, age_ns = ?", (boot_ns, now_age_ns))
    return now_age_ns
