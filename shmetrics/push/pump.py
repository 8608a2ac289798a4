# SPDX-License-Identifier: Apache-2.0
"""The copying of one stream, byte for byte, with a look at what goes by.

The bytes go on before they are looked at: nothing that becomes of a line can hold them up.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import termios
from collections.abc import Callable

BLOCK_BYTES = 1024 * 1024  # the most that a pipe holds by default, see pipe(7)


class Pump:
    """A copy of one descriptor to another, until the source ends, or a while after `finish()`.

    Attributes:
        problem: why it could not go on, or None. It is a BrokenPipeError if nobody reads the target
            any more.
    """

    def __init__(
        self, source: int, target: int | None, look: Callable[[bytearray, int], None]
    ) -> None:
        """Prepare to copy.

        Args:
            source: the descriptor to read from, which is closed at the end.
            target: the descriptor to write to; None: what is read is only looked at.
            look: called with a buffer and how many of its bytes are new. It must not wait.
        """
        self.problem: OSError | None = None
        self._source = source
        self._target = target
        self._look = look
        self._left: int | None = None  # bytes to read after finish()
        self._finished, self._finish = os.pipe()
        self._readable = select.poll()
        self._readable.register(source, select.POLLIN)
        self._readable.register(self._finished, select.POLLIN)

    def run(self) -> None:
        """Copy until the source ends, or until the target cannot be written to."""
        buffer = bytearray(BLOCK_BYTES)
        view = memoryview(buffer)
        try:
            while n_bytes := self._read(view):
                self._write(view[:n_bytes])
                self._look(buffer, n_bytes)
        except OSError as error:
            self.problem = error
        os.close(self._source)  # now: whoever writes on has to learn that nobody reads

    def finish(self) -> None:
        """Let the pump end once it has copied what is in the source by now."""
        os.write(self._finish, b"\n")

    def close(self) -> None:
        """Close what the pump has for itself, after it has ended."""
        os.close(self._finished)
        os.close(self._finish)

    def _read(self, view: memoryview) -> int:
        """Read into a buffer, and return how many bytes it were; 0 at the end."""
        if self._left is None:
            ready = dict(self._readable.poll())
            if self._finished in ready:
                self._left = _waiting_bytes(self._source)
        if self._left is not None:
            view = view[: self._left]
            self._left -= len(view)  # all of them are there
        return os.readv(self._source, [view]) if view else 0

    def _write(self, view: memoryview) -> None:
        while view and self._target is not None:
            try:
                view = view[os.write(self._target, view) :]
            except BlockingIOError:  # one of those that share the target has made it so
                writable = select.poll()
                writable.register(self._target, select.POLLOUT)
                writable.poll()


def _waiting_bytes(pipe: int) -> int:
    """Return how many bytes are in a pipe."""
    found: int = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]
    return found
