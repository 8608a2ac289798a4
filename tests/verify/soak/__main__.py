# SPDX-License-Identifier: Apache-2.0
"""A soak: load, kills, restarts, forks and hostile lanes together, and an exact audit at the end.

    python -m tests.verify.soak --minutes 10 --seed 7 --json build/soak.json

Exit status 0: every total was exact to the unit, nothing grew, nobody was harmed. 1: not so; the
folder with what is left of it is kept, and named.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.verify.soak import report
from tests.verify.soak.account import Wrong
from tests.verify.soak.plan import Plan
from tests.verify.soak.run import run
from tests.verify.soak.scene import Scene


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.verify.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--json", type=Path, help="where the result goes, too")
    options = parser.parse_args()
    plan = Plan(options.minutes, options.seed)
    # As in production, on memory: a disk would write back what is mapped.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="soak-", dir=memory))
    print(f"soak of {plan.minutes:g} minutes, seed {plan.seed}, in {folder}", flush=True)
    scene = Scene(plan, folder)
    wrong, figures = [], []
    try:
        asyncio.run(run(scene))
        figures = scene.growth.figures(plan.warm_seconds)
        wrong += [
            f"{one.what}: grown by {one.grown:g}, more than {one.most:g}"
            for one in figures
            if one.grown > one.most
        ]
    except Wrong as error:
        wrong.append(str(error))
    finally:
        scene.abandon()
    found = report.document(scene, wrong, figures)
    print(report.table(found))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    if wrong:
        print(f"kept: {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
