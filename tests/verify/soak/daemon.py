# SPDX-License-Identifier: Apache-2.0
"""A service that becomes a daemon as they always did, and knows no descriptor but its own.

    python -m tests.verify.soak.daemon BOOK TOPIC SEED CHILD_BOOK

It emits, closes all that it does not know, and opens files and sockets of its own under the numbers
that are free then. Its child does the same in a session of its own; its grandchild is the daemon,
without standard streams. All three go on emitting, and look after their files.
"""

from __future__ import annotations

import ctypes
import os
import random
import socket
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.verify.soak.book import FATE, Book, Fate
from tests.verify.soak.work import Work

CONTENT = b"of the service's own " * 4
MOST_FDS = 4096
ROUNDS = 20
PR_SET_CHILD_SUBREAPER = 36


class Property:
    """Files and sockets that the process has opened for its own ends."""

    def __init__(self, first: int) -> None:
        """Closes every descriptor from first on, and takes the numbers."""
        os.closerange(first, MOST_FDS)
        self._files = [_a_file() for _ in range(6)]
        self._sockets = [end for _ in range(3) for end in socket.socketpair()]
        for end in self._sockets:
            end.setblocking(False)
        self._identities = {fd: os.fstat(fd).st_ino for fd in self._numbers()}

    def _numbers(self) -> list[int]:
        return self._files + [end.fileno() for end in self._sockets]

    def check(self) -> None:
        """Raises AssertionError if anything but this process has touched it."""
        for fd, identity in self._identities.items():
            assert os.fstat(fd).st_ino == identity, f"descriptor {fd} is another file"
        for fd in self._files:
            assert os.pread(fd, 4096, 0) == CONTENT, f"a file was written to, descriptor {fd}"
        for end in self._sockets:
            try:
                raise AssertionError(f"a socket was sent {end.recv(4096)!r}")
            except BlockingIOError:
                continue

    def close(self) -> None:
        for fd in self._files:
            os.close(fd)
        for end in self._sockets:
            end.close()


def _a_file() -> int:
    fd, path = tempfile.mkstemp()
    os.unlink(path)
    os.write(fd, CONTENT)
    return fd


def emit(work: Work, columns: list[int], own: Property) -> None:
    """For some rounds, and until a collector has given a lane."""
    rounds = 0
    while rounds < ROUNDS or not work.note():
        rounds += 1
        work.do_all(columns)
        own.check()
        time.sleep(0.002)


def daemonise(work: Work, book: Book, columns: list[int]) -> None:
    """Never returns: the child's child is the daemon, and the child ends at once."""
    status = 1
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        work.take(book)
        own = Property(first=0)
        emit(work, columns, own)
        book.cells[FATE] = Fate.ENDED
        status = 0
    except BaseException:
        with Path(os.environ["SOAK_ERRORS"]).open("a") as errors:  # it has no standard streams
            traceback.print_exc(file=errors)
    os._exit(status)


def main() -> None:
    book_path, topic, seed, child_book = sys.argv[1:]
    errors = tempfile.mkstemp()[1]
    os.environ["SOAK_ERRORS"] = errors
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # the daemon is ours to wait for
    work = Work(Book(Path(book_path)), topic)
    columns = work.round(random.Random(seed))
    work.do_all(columns)
    own = Property(first=3)
    emit(work, columns, own)
    if os.fork() == 0:
        daemonise(work, Book(Path(child_book)), columns)
    emit(work, columns, own)
    for _ in range(2):
        _, status = os.wait()
        assert status == 0, f"wait status {status}: {Path(errors).read_text()}"
    emit(work, columns, own)
    own.close()
    os.unlink(errors)
    work.book.cells[FATE] = Fate.ENDED


if __name__ == "__main__":
    main()
