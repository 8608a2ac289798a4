# SPDX-License-Identifier: Apache-2.0
"""The cost of `import` for a service: seconds, and resident memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from benchmarks.contender import Contender, Group, Timer

ROOT = Path(__file__).resolve().parents[2]

# Both figures are differences around the import, in a process that has done nothing else.
PROBE = """
import os, sys, time
def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
size, begun = resident(), time.perf_counter()
{statement}
took, grown = time.perf_counter() - begun, resident() - size
print(took, grown)
"""

STATEMENTS = {
    "shmetrics": "from shmetrics import Counter",
    "rpc": "import shmetrics.rpc",
    "prometheus": "import prometheus_client",
    "json": "import json",
    "asyncio": "import asyncio",
}


def stage(statement: str, column: int) -> Callable[[], AbstractContextManager[Timer]]:
    """column: 0 for seconds, 1 for bytes."""

    @contextmanager
    def open_() -> Iterator[Timer]:
        with tempfile.TemporaryDirectory(prefix="shmetrics-bench-") as cache:
            # Bytecode is compiled once, as in an installation, and kept away from the tree.
            environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
            environment.pop("PYTHONDONTWRITEBYTECODE", None)
            command = [sys.executable, "-c", PROBE.format(statement=statement)]

            def timer(loops: int) -> float:
                total = 0.0
                for _ in range(loops):
                    done = subprocess.run(
                        command, env=environment, cwd=ROOT, check=True, capture_output=True
                    )
                    total += float(done.stdout.split()[column])
                return total

            timer(1)
            yield timer

    return open_


def contenders(column: int) -> tuple[Contender, ...]:
    return tuple(
        Contender(key, f"`{statement}`", stage(statement, column))
        for key, statement in STATEMENTS.items()
    )


SECONDS = Group(
    "import-time",
    "Import, time",
    "In a fresh process, bytecode compiled beforehand. The last two are there for scale.",
    "shmetrics",
    contenders(0),
)
BYTES = Group(
    "import-memory",
    "Import, resident memory",
    "Growth of the resident set over the same import, one process per round.",
    "shmetrics",
    contenders(1),
    unit="byte",
)
