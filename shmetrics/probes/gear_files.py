# SPDX-License-Identifier: Apache-2.0
"""The files of a gear that say which commands it has: read by ourselves, or listed by the gear.

Where only the gear may enter its directory, a command prints these files as the gear's user
(spawner/listing.py): so nobody can learn by it what the gear could not.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from typing import Protocol

from shmetrics.probes import unit_file
from shmetrics.probes.spawner.listing import EXECUTABLE, HEADER_BEGIN, HEADER_END


class GearFiles(Protocol):
    """Files below the home of a gear. Names are paths below it.

    Attributes:
        home: the directory of the gear.
    """

    home: str

    def names(self, folder: str) -> list[str]:
        """Return what is in a folder, sorted. Raises OSError."""

    def has(self, name: str) -> bool:
        """Return whether there is something of this name."""

    def read(self, name: str, most_bytes: int) -> bytes:
        """Return the contents of a file. Raises OSError, whose strerror is for people."""

    def is_executable(self, name: str) -> bool:
        """Return whether this is a file that somebody may run."""


class OwnFiles:
    """The files as we can read them."""

    def __init__(self, home: str, uid: int) -> None:
        """Set the directory, and the user of the gear."""
        self.home = home
        self._uid = uid

    def names(self, folder: str) -> list[str]:
        """Return what is in a folder, sorted. Raises OSError."""
        return sorted(os.listdir(os.path.join(self.home, folder)))

    def has(self, name: str) -> bool:
        """Return whether there is something of this name."""
        return os.path.lexists(os.path.join(self.home, name))

    def read(self, name: str, most_bytes: int) -> bytes:
        """Return the contents of a file. Raises OSError, whose strerror is for people."""
        return unit_file.read(self.home, name, self._uid, most_bytes)

    def is_executable(self, name: str) -> bool:
        """Return whether this is a file that somebody may run."""
        try:
            mode = os.stat(os.path.join(self.home, name)).st_mode
        except OSError:
            return False
        return stat.S_ISREG(mode) and bool(mode & 0o111)


class ListedFiles:
    """The files as the gear has listed them."""

    def __init__(self, home: str, lines: Iterable[bytes]) -> None:
        """Take a listing apart.

        Args:
            home: the directory of the gear.
            lines: what spawner/listing.py has printed, without newlines.
        """
        self.home = home
        self._executables: set[str] = set()
        self._contents: dict[str, bytearray] = {}
        contents: bytearray | None = None
        for line in lines:
            if line.startswith(HEADER_BEGIN) and line.endswith(HEADER_END):
                name = line[len(HEADER_BEGIN) : -len(HEADER_END)].decode(errors="replace")
                contents = self._contents[name] = bytearray()
            elif contents is not None:
                contents += line + b"\n"
            elif line.startswith(EXECUTABLE):
                self._executables.add(line.removeprefix(EXECUTABLE).decode(errors="replace"))

    def names(self, folder: str) -> list[str]:
        """Return what is listed of a folder, sorted."""
        begin = f"{folder}/" if folder else ""
        known = (name for name in self._contents if name.startswith(begin))
        return sorted({name.removeprefix(begin).partition("/")[0] for name in known})

    def has(self, name: str) -> bool:
        """Return whether a file is listed."""
        return name in self._contents

    def read(self, name: str, most_bytes: int) -> bytes:
        """Return the contents of a file. Raises FileNotFoundError if it is not listed."""
        if name not in self._contents:
            raise FileNotFoundError(errno.ENOENT, "it was not listed")
        return bytes(self._contents[name][:most_bytes])

    def is_executable(self, name: str) -> bool:
        """Return whether the gear may run this file."""
        return name in self._executables
