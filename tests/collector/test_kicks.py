# SPDX-License-Identifier: Apache-2.0
"""Wake-ups by emitters: heeded at once, and harmless whatever an emitter does with its end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from shmetrics.collector import kicks
from shmetrics.collector.kicks import Kick, LoopKicks
from tests.collector.node import Node
from tests.servers.processes import until

NEIGHBOUR = """
import time
jobs = shmetrics.Histogram("jobs", "Jobs", buckets=(1,))
jobs.observe(0)
while not shmetrics.status()["connected"]:  # it asks again once a second
    time.sleep(0.05)
    jobs.observe(0)
pause("ready")
for _ in range(300_000):
    jobs.observe(1)
"""

# A process with a lane, and the eventfd that came with it.
KICKER = """
import threading, time
other = shmetrics.Counter("other", "Other")
other.inc()
while not shmetrics.status()["connected"]:
    time.sleep(0.05)
    other.inc(0)
fd_dir = "/proc/self/fd/"
[kick_fd] = [
    int(fd) for fd in os.listdir(fd_dir)
    if os.path.exists(fd_dir + fd) and "eventfd" in os.readlink(fd_dir + fd)
]
pause("ready")
"""


def test_a_kick_is_heeded_long_before_the_tick(node: Node) -> None:
    node.start("tick_seconds = 60")
    emitter = node.emitter(
        """
        jobs = shmetrics.Histogram("jobs", "Jobs", buckets=(1,))
        for _ in range(3000):
            jobs.observe(1)
        pause("recorded")
        """
    )
    emitter.until("recorded")
    until(lambda: node.lanes()[0]["waiting"] < 2000, lambda: f"{node.lanes()}", 30)
    assert node.samples().value("shmetrics_kicks_total", result="needed") == 1
    emitter.go()
    emitter.end()


def until_muted(node: Node, lanes: int) -> None:
    def muted() -> float:
        return node.samples().value("shmetrics_muted_total")

    until(lambda: muted() == lanes, lambda: f"{muted()} are muted", 30)


def test_a_flood_of_kicks_is_muted_and_harms_nobody(node: Node) -> None:
    node.start("tick_seconds = 0.2")
    floods = [
        node.emitter(KICKER + "while True:\n    os.eventfd_write(kick_fd, 1)") for _ in range(3)
    ]
    neighbour = node.emitter(NEIGHBOUR)
    for emitter in (*floods, neighbour):
        emitter.until("ready")
        emitter.go()
    until_muted(node, 3)
    neighbour.end()
    found = node.samples()
    assert found.value("jobs_sum") == 300_000
    assert found.value("other_total") == 3
    idle = found.value("shmetrics_kicks_total", result="idle")
    assert 3 * kicks.MAX_IDLE <= idle < 3 * kicks.MAX_IDLE + 50
    assert node.log.count("kicks for nothing") == 3
    for flood in floods:
        flood.kill()


def test_a_collector_never_waits_for_a_kick(node: Node) -> None:
    """Whose emitter has made the descriptor blocking, and reads it empty before the collector can;
    or has filled it up, so that one can write no more."""
    node.start("tick_seconds = 0.2")
    thief = node.emitter(
        KICKER
        + """
os.set_blocking(kick_fd, True)
def steal():
    while True:
        os.eventfd_read(kick_fd)
threading.Thread(target=steal, daemon=True).start()
while True:
    os.eventfd_write(kick_fd, 1)
"""
    )
    filled = node.emitter(KICKER + "os.eventfd_write(kick_fd, 2**64 - 2)\npause('filled')")
    neighbour = node.emitter(NEIGHBOUR)
    for emitter in (thief, filled, neighbour):
        emitter.until("ready")
        emitter.go()
    filled.until("filled")
    neighbour.end()
    until_muted(node, 1)
    found = node.samples()
    assert found.value("jobs_sum") == 300_000
    assert found.value("other_total") == 2
    filled.go()
    filled.end()
    thief.kill()


class SlowLoop:
    """The part of a loop that kicks need, with a clock of its own."""

    def __init__(self) -> None:
        self.now = 100.0
        self.listener: Callable[[], None] | None = None
        self.rests: list[float] = []

    def time(self) -> float:
        return self.now

    def add_reader(self, fd: int, call: Callable[[], None]) -> None:
        self.listener = call

    def remove_reader(self, fd: int) -> None:
        self.listener = None

    def call_later(self, seconds: float, call: Callable[[], None]) -> SlowLoop:
        self.rests.append(seconds)
        self.listen_again = call
        return self

    def cancel(self) -> None:
        self.listener = None


def test_kicks_leave_half_of_the_time_to_others() -> None:
    """However many lanes kick without end: a round, and then a rest of the same length."""
    loop = SlowLoop()
    found = LoopKicks(loop)  # type: ignore[arg-type]
    heard: list[int] = []

    def lane(n: int) -> Kick:
        def heed() -> bool:
            loop.now += 0.25
            heard.append(n)
            for kick in lanes:
                os.eventfd_write(kick.fd, 1)
            return True

        return Kick(found, heed, lambda: None)

    lanes: list[Kick] = []
    lanes += [lane(n) for n in range(kicks.BATCH + 10)]
    os.eventfd_write(lanes[0].fd, 1)
    for number, heeded in enumerate((1, kicks.BATCH, kicks.BATCH), 1):
        before = len(heard)
        assert loop.listener is not None
        loop.listener()
        assert len(heard) - before == heeded
        assert loop.listener is None
        assert loop.rests[-1] == heeded * 0.25
        assert len(loop.rests) == number
        loop.listen_again()
    assert set(heard) == set(range(len(lanes)))  # nobody is passed over
    for kick in lanes:
        kick.close()
    assert loop.listener is not None
    loop.listener()
    assert loop.rests[-1] == kicks.PAUSE_SECONDS
    found.close()


def test_nothing_is_read_from_a_kick() -> None:
    """Its emitter could have made it blocking, and read it empty a moment before."""
    loop = SlowLoop()
    found = LoopKicks(loop)  # type: ignore[arg-type]
    heard: list[int] = []

    def heed() -> bool:
        heard.append(1)
        return True

    kick = Kick(found, heed, lambda: None)
    for n in range(3):
        os.eventfd_write(kick.fd, 1)
        assert loop.listener is not None
        loop.listener()
        loop.listen_again()
        assert len(heard) == n + 1
    assert os.eventfd_read(kick.fd) == 3
    kick.close()
    found.close()


def test_kicks_for_nothing_are_forgiven_if_another_one_is_not() -> None:
    muted = 0

    def mute() -> None:
        nonlocal muted
        muted += 1

    heard = 0
    needed = False

    def heed() -> bool:
        nonlocal heard
        heard += 1
        return needed

    async def run() -> None:
        nonlocal needed
        found = LoopKicks(asyncio.get_running_loop())
        kick = Kick(found, heed, mute)

        async def kick_once() -> None:
            before = heard
            os.eventfd_write(kick.fd, 1)
            for _ in range(10_000):
                if heard > before:
                    return
                await asyncio.sleep(0.001)
            raise AssertionError("not heard")

        for n in range(2 * kicks.MAX_IDLE - 1):
            needed = n == kicks.MAX_IDLE - 1
            await kick_once()
        assert muted == 0
        needed = False
        await kick_once()
        assert muted == 1
        os.eventfd_write(kick.fd, 1)
        await asyncio.sleep(0.01)
        assert heard == 2 * kicks.MAX_IDLE
        kick.close()
        found.close()

    asyncio.run(run())
