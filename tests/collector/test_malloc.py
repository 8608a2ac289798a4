# SPDX-License-Identifier: Apache-2.0
"""The memory of a scrape, which goes back to the system."""

import subprocess
import sys

PROGRAM = """
import sys
from shmetrics.collector import malloc

if sys.argv[1] == "give_back":
    malloc.give_back()

def resident_mib():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) // 256

def between(count):
    # Large pieces, and something small behind each that stays.
    large, small = [], []
    for _ in range(count):
        large.append(b"x" * (1 << 20))
        small.append(bytes(600))
    return small

between(1)  # from which the C library learns
before = resident_mib()
kept = between(64)
print(resident_mib() - before)
"""


def kept_mib(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def test_large_memory_goes_back_at_once() -> None:
    assert kept_mib("give_back") < 16


def test_without_that_it_stays() -> None:
    assert kept_mib("as it is") > 48
