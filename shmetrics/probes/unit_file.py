# SPDX-License-Identifier: Apache-2.0
"""Reading of small files in the directory of a unit, where the unit may put anything.

The gatherer may be able to read more than the unit is. A link in the unit's directory would then
hand the unit what it may not see, as a variable or as a label. So no link is followed below the
directory, and the file belongs to the unit's user or to root.
"""

from __future__ import annotations

import errno
import os
import stat

MOST_BYTES = 64 * 1024

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC


def read(home: str, name: str, uid: int, most_bytes: int = MOST_BYTES) -> bytes:
    """Return the contents of a file. Never waits.

    Args:
        home: the directory of the unit.
        name: the path of the file below it.
        uid: the user of the unit.
        most_bytes: the largest size that is accepted.

    Raises:
        OSError: it cannot be read, or not be trusted; its strerror says why, for people.
    """
    *folders, last = name.split("/")
    here = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for folder in folders:
            below = os.open(folder, _FOLDER, dir_fd=here)
            os.close(here)
            here = below
        with open(os.open(last, _FILE, dir_fd=here), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "this is not a file")
            if status.st_uid not in (0, uid):
                raise OSError(errno.EPERM, f"belongs to uid {status.st_uid}, not to uid {uid}")
            contents = file.read(most_bytes + 1)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise OSError(error.errno, "a link, or no directory, is on the way") from None
        raise
    finally:
        os.close(here)
    if len(contents) > most_bytes:
        raise OSError(errno.EFBIG, f"this is larger than {most_bytes // 1024} KiB")
    return contents
