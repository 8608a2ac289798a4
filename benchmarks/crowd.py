# SPDX-License-Identifier: Apache-2.0
"""Several processes that do the same at once."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier

from benchmarks.contender import Timer

READY_S = 60.0
DONE_S = 120.0


def on_cpu(timer: Timer) -> Timer:
    """Seconds of processor instead of seconds: what it costs, whoever else wants the core."""

    def timed(loops: int) -> float:
        begun = time.thread_time()
        timer(loops)
        return time.thread_time() - begun

    return timed


def live(prepare: Callable[[], Timer], times: int, start: Barrier, report: Connection) -> None:
    timer = prepare()
    start.wait(READY_S)
    report.send(timer(times))
    report.close()


def at_once(processes: int, times: int, prepare: Callable[[], Timer]) -> tuple[float, float]:
    """Each does it so many times. What the timers say, on the mean, and how long all of it took.

    prepare() is called in each process and makes its timer; this process imports nothing for it.
    """
    fork = multiprocessing.get_context("fork")
    start = fork.Barrier(processes + 1)
    pipes = [fork.Pipe(duplex=False) for _ in range(processes)]
    crowd = [fork.Process(target=live, args=(prepare, times, start, end)) for _, end in pipes]
    for process, (_, end) in zip(crowd, pipes, strict=True):
        process.start()
        end.close()  # who dies without a word shall be heard
    try:
        start.wait(READY_S)
        begun = time.perf_counter()
        said = [receiver.recv() for receiver, _ in pipes if receiver.poll(DONE_S)]
        took = time.perf_counter() - begun
    finally:
        for process in crowd:
            process.join(DONE_S)
            process.kill()
        for receiver, _ in pipes:
            receiver.close()
    if len(said) < processes:
        raise RuntimeError(f"{processes - len(said)} of {processes} processes were not done")
    return sum(said) / processes, took
