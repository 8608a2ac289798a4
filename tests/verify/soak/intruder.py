# SPDX-License-Identifier: Apache-2.0
"""A process without manners: it gets a lane like everybody else, and then does as it likes.

    python -m tests.verify.soak.intruder KIND SEED RUNTIME_DIR

Whatever it defines has one of a few names, so that the store stays as large as it is.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from shmetrics import layout
from shmetrics.registration.client import Attempt, Grant
from shmetrics.registration.protocol import Hello
from shmetrics.runtime_dir import SOCKET_NAME
from tests.lanes.test_broken_lanes import BROKEN
from tests.nodes import hostile
from tests.nodes.hostile import JOBS, RPC, SIZE, LaneFile

BUSY_SECONDS = 0.7
PATIENCE_SECONDS = 150  # longer than any collector is frozen or gone


class Intruder:
    """One process, its lane, and how long it makes trouble."""

    def __init__(self, path: str, seed: str) -> None:
        self.path = path
        self.rng = random.Random(seed)
        grant = self._grant()
        self.lane_fd = os.dup(grant.lane.fileno())
        self.lane = LaneFile(os.dup(grant.lane.fileno()))
        grant.lane.close()
        for definition in (JOBS, SIZE, RPC):
            self.lane.series(definition.type, self.lane.family(definition), "fast")
        for _ in range(10):
            self.record()
        # Its good time over, so that it is drained before the bad one begins, or is not.
        time.sleep(self.rng.random() * 0.1)
        self._until = time.monotonic() + BUSY_SECONDS

    def _grant(self) -> Grant:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            with contextlib.suppress(OSError):  # no collector now, or one that is just killed
                attempt = Attempt(self.path, Hello(layout.LAYOUT_VERSION, 64, "intruder"))
                with contextlib.closing(attempt):
                    answer = attempt.answer(10**9)
                    if isinstance(answer, Grant):
                        return answer
            if time.monotonic() > deadline:
                raise TimeoutError("no lane")
            time.sleep(0.02)

    def record(self) -> None:
        """A good one."""
        self.lane.record(hostile.ADD, 1, float(self.rng.randrange(5)))

    def busy(self) -> bool:
        return time.monotonic() < self._until


def random_bytes(intruder: Intruder) -> None:
    size = len(intruder.lane.memory)
    while intruder.busy():
        at = intruder.rng.randrange(size - 64)
        intruder.lane.memory[at : at + 64] = intruder.rng.randbytes(64)
        time.sleep(0.001)


def moving_head(intruder: Intruder) -> None:
    while intruder.busy():
        head = intruder.lane.get(hostile.HEAD_AT)
        intruder.lane.put(hostile.HEAD_AT, head + intruder.rng.randrange(-80, 80))
        time.sleep(intruder.rng.random() * 0.005)


def moving_indices(intruder: Intruder) -> None:
    """Also those that are the collector's."""
    places = [*range(hostile.HEAD_AT, hostile.DROPPED_AT + 64, 8), hostile.TAIL_AT]
    while intruder.busy():
        intruder.record()
        intruder.lane.put(intruder.rng.choice(places), intruder.rng.randrange(-9, 2**20))
        time.sleep(intruder.rng.random() * 0.005)


def broken(intruder: Intruder) -> None:
    """One of the many ways that have a name."""
    reason = intruder.rng.choice(sorted(BROKEN))
    intruder.rng.choice(BROKEN[reason])(intruder.lane)
    while intruder.busy():
        time.sleep(0.05)


def lying_dictionary(intruder: Intruder) -> None:
    at, _ = intruder.lane.parts["dictionary"]
    while intruder.busy():
        end = intruder.lane.get(hostile.DICTIONARY_END_AT) % 4096
        place = at + intruder.rng.randrange(end + 8)
        intruder.lane.memory[place] = intruder.rng.randrange(128, 256)  # no further valid text
        intruder.lane.put(hostile.DICTIONARY_END_AT, end + 8 * intruder.rng.randrange(3))
        time.sleep(intruder.rng.random() * 0.005)


def cut_short(intruder: Intruder) -> None:
    size = len(intruder.lane.memory)
    for _ in range(50):
        intruder.record()
    os.ftruncate(intruder.lane_fd, intruder.rng.choice((0, 1, 4096, size // 2, size - 4096)))
    while intruder.busy():  # and never looks at it again
        time.sleep(0.05)


def changing_records(intruder: Intruder) -> None:
    """While they are read, as far as two processes can meet."""
    at, size = intruder.lane.parts["ring"]
    while intruder.busy():
        for _ in range(50):
            intruder.record()
        for _ in range(500):
            place = at + intruder.rng.randrange(size)
            intruder.lane.memory[place] = intruder.rng.randrange(256)


def falling_totals(intruder: Intruder) -> None:
    cells, _ = intruder.lane.parts["cells"]
    spilled = 0
    while intruder.busy():
        spilled += 1
        intruder.lane.put_double(cells, float(intruder.rng.randrange(100)))
        intruder.lane.put(hostile.SPILLED_AT, spilled)
        time.sleep(intruder.rng.random() * 0.01)


def flood_of_kicks(intruder: Intruder) -> None:
    while intruder.busy():
        os.posix_fallocate(intruder.lane_fd, 0, 1)  # a modification, as a kick is


def flood_of_registrations(intruder: Intruder) -> None:
    while intruder.busy():
        with contextlib.suppress(OSError):
            Attempt(intruder.path, Hello(layout.LAYOUT_VERSION, 64, "intruder")).close()
        time.sleep(0.002)


def silent_connections(intruder: Intruder) -> None:
    with contextlib.ExitStack() as opened:
        while intruder.busy():
            with contextlib.suppress(OSError):
                one = opened.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
                one.setblocking(False)
                one.connect(intruder.path)
                if intruder.rng.random() < 0.1:
                    one.send(intruder.rng.randbytes(intruder.rng.randrange(1, 600)))
            time.sleep(0.005)


def unlocked(intruder: Intruder) -> None:
    """Gives back every lock that there may be, and goes on: it has a mapping."""
    fcntl.flock(intruder.lane_fd, fcntl.LOCK_UN)
    fcntl.lockf(intruder.lane_fd, fcntl.LOCK_UN)
    listed = f"/proc/self/fd/{intruder.lane_fd}"
    while intruder.busy():
        intruder.record()
        fcntl.flock(intruder.lane_fd, fcntl.LOCK_UN)
        assert not os.readlink(listed).endswith(" (deleted)"), "retired, and still mapped"
        time.sleep(0.005)
    os.close(intruder.lane_fd)


def many_series(intruder: Intruder) -> None:
    """And long ones; the dictionary's end is where they end."""
    family = intruder.lane.family(hostile.BUSY)
    _, size = intruder.lane.parts["dictionary"]
    for n in range(200):
        value = str(n % 100) + "x" * (3000 if n % 20 == 0 else 0)
        if intruder.lane.get(hostile.DICTIONARY_END_AT) + 4096 < size:
            intruder.lane.series(layout.TYPE_GAUGE, family, value)
        intruder.lane.put(hostile.GAUGE_WRITES_AT, n)
    while intruder.busy():
        time.sleep(0.05)


KINDS: dict[str, Callable[[Intruder], None]] = {
    kind.__name__: kind
    for kind in (
        random_bytes,
        moving_head,
        moving_indices,
        broken,
        lying_dictionary,
        cut_short,
        changing_records,
        falling_totals,
        flood_of_kicks,
        unlocked,
        flood_of_registrations,
        silent_connections,
        many_series,
    )
}


def main() -> None:
    kind, seed, runtime_dir = sys.argv[1:]
    KINDS[kind](Intruder(str(Path(runtime_dir) / SOCKET_NAME), seed))
    os._exit(0)  # the memory may be gone


if __name__ == "__main__":
    main()
