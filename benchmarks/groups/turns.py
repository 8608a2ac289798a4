# SPDX-License-Identifier: Apache-2.0
"""A call and its floor by turns, in one process: what else runs here slows both alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from benchmarks import floor, operations, world
from benchmarks.contender import Contender, Effort, Group, Timer

BLOCKS = world.BURST_RECORDS // 2  # a call writes two records


def bursts(timer: Timer) -> Timer:
    """A turn is a burst, once there is room for it, and the time is that of one block."""

    def turn(loops: int) -> float:
        seconds = 0.0
        for _ in range(loops):
            world.wait_for_room()
            seconds += timer(BLOCKS) / BLOCKS
        return seconds

    return turn


@contextmanager
def clocks() -> Iterator[Timer]:
    yield bursts(operations.blocks(floor.extension().Clocked()))


@contextmanager
def call() -> Iterator[Timer]:
    from shmetrics import rpc

    yield bursts(world.register(operations.blocks(rpc.client_call(**operations.LABELS))))


def turns(key: str, where: str, around: Callable[[], AbstractContextManager[None]]) -> Group:
    return Group(
        key,
        f"One RPC and its block, by turns{where}",
        "Bursts of a thousand, one of each in turn, in one process and beside one collector: while "
        "that drains, the processor gives less to whoever else is on it, whether they record or "
        "not, and by turns both have the same of it.",
        "clocks",
        (
            Contender("clocks", "floor: the same block, two clocks", clocks),
            Contender("call", "shmetrics, ring with room", call),
        ),
        floor="clocks",
        effort=Effort(rounds=10, values=24, warmups=2, loops=24),
        together=around,
    )


TURNS = turns("turns", "", world.collector)
ONE_CORE = turns("turns-one", ", the collector on the same core", world.collector_on_this_core)
