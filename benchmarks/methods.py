# SPDX-License-Identifier: Apache-2.0
"""`python -m benchmarks.methods inc|observe|call TIMES`: does it so often, in a lane with room.

For a program that counts instructions from outside; see instructions.py.
"""

from __future__ import annotations

import sys

from benchmarks import world


def main() -> None:
    operation, times = sys.argv[1], int(sys.argv[2])
    with world.collector():
        import shmetrics
        from benchmarks.groups import instruments

        make = {
            "inc": instruments.a_counter,
            "observe": instruments.a_histogram,
            "call": instruments.shmetrics_rpc,
        }[operation]
        world.in_bursts(make(shmetrics), 2)(times)


if __name__ == "__main__":
    main()
