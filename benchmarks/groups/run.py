# SPDX-License-Identifier: Apache-2.0
"""The cost of `shmetrics run` for a program that prints much, and no metrics."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from benchmarks.contender import Contender, Effort, Group, Timer

OUTPUT_BYTES = 200_000_000
_BLOCK_BYTES = 1024 * 1024
TEXT = "2026-11-30 10:00:00 INFO handled request for /index.html in 12 ms"
EQUALS = "ts=2026-11-30T10:00:00 level=info msg=handled path=/index.html duration=12ms"


def program(line: str, more: str = "") -> tuple[str, ...]:
    """Return a program that prints lines; more: what a shell puts behind it."""
    return "sh", "-c", f"yes '{line}' | head -c {OUTPUT_BYTES}{more}"


def stage(command: Sequence[str]) -> Callable[[], AbstractContextManager[Timer]]:
    """command: prints so many bytes."""

    @contextmanager
    def open_() -> Iterator[Timer]:
        buffer = bytearray(_BLOCK_BYTES)
        with tempfile.TemporaryDirectory(prefix="shmetrics-bench-") as nobody:
            environment = {**os.environ, "SHMETRICS_RUNTIME_DIR": nobody}

            def timer(loops: int) -> float:
                begun = time.perf_counter()
                for _ in range(loops):
                    with subprocess.Popen(
                        command, env=environment, stdout=subprocess.PIPE
                    ) as process:
                        assert process.stdout is not None
                        n_bytes = 0
                        while part := os.readv(process.stdout.fileno(), [buffer]):
                            n_bytes += part
                    assert (n_bytes, process.returncode) == (OUTPUT_BYTES, 0)
                return time.perf_counter() - begun

            yield timer

    return open_


RUN = (sys.executable, "-m", "shmetrics", "run", "--")

OUTPUT = Group(
    "run-output",
    "A program that prints 200 MB under `shmetrics run`",
    "From the start of the command to its end, read through a pipe.",
    "run",
    (
        Contender("floor", "the program alone", stage(program(TEXT))),
        Contender("cat", "the program, and `cat`", stage(program(TEXT, " | cat"))),
        Contender("run", "`shmetrics run`, no `=` in a line", stage((*RUN, *program(TEXT)))),
        Contender("equals", "`shmetrics run`, `=` in each line", stage((*RUN, *program(EQUALS)))),
        Contender(
            "typed",
            "the same, `--typed`",
            stage((*RUN[:-1], "--typed", *RUN[-1:], *program(EQUALS))),
        ),
    ),
    effort=Effort(rounds=3, values=3, warmups=1, loops=1),
)
