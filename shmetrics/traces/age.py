# SPDX-License-Identifier: Apache-2.0
"""How old the store is: a clock that nobody can set.

It goes while the machine does, whether somebody has the store open or not. How long the machine was
off is known by the wall clock only, which after that may say anything; so that time does not count.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3


def boot_ns() -> int:
    """Since the machine was started, in nanoseconds, with the time that it slept."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def age_ns(db: sqlite3.Connection, boot_ns: int) -> int:
    """The age of the store now, which is noted there: in a transaction, from time to time. boot_ns:
    now, since the machine was started."""
    then_ns, noted_ns = db.execute("SELECT boot_ns, age_ns FROM age").fetchone()
    # If that was less then, maybe it was another start: this one is that long ago at least.
    passed_ns = boot_ns - then_ns if boot_ns >= then_ns else boot_ns
    found: int = noted_ns + passed_ns
    db.execute("UPDATE age SET boot_ns = ?, age_ns = ?", (boot_ns, found))
    return found
