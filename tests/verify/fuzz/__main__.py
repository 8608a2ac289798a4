# SPDX-License-Identifier: Apache-2.0
"""Long fuzzing: every target in turn, from the inputs that are kept, and what it came to.

    python -m tests.verify.fuzz [--minutes N | --runs N] [--keep] [TARGET...]

What is found lies in build/fuzz/found; give the file to the target's program to see it again, mend
the code, and keep the file in tests/verify/fuzz/found/TARGET under a name that says what it was.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from tests.verify.fuzz import targets

BUILD = targets.ROOT / "build" / "fuzz"
# Share of the time, in parts: the drain is what matters, and the numbers have no state.
_PARTS = {"drain": 12, "entries": 2}


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="for all targets together")
    parser.add_argument("--runs", type=int, default=0, help="executions of each target instead")
    parser.add_argument(
        "--keep",
        action="store_true",
        help="write the smallest corpus of equal coverage to tests/verify/fuzz",
    )
    parser.add_argument("targets", nargs="*", default=targets.TARGETS)
    wanted = parser.parse_args()
    unknown = set(wanted.targets) - set(targets.TARGETS)
    if unknown:
        parser.error(
            f"no target {', '.join(sorted(unknown))}; there are {', '.join(targets.TARGETS)}"
        )

    parts = sum(_PARTS.get(name, 1) for name in wanted.targets)
    total = failed = 0
    for name in wanted.targets:
        seconds = int(wanted.minutes * 60 * _PARTS.get(name, 1) / parts)
        limit = f"-runs={wanted.runs}" if wanted.runs else f"-max_total_time={max(seconds, 1)}"
        command = targets.command_of(name, BUILD)
        corpus = BUILD / "corpus" / name
        corpus.mkdir(parents=True, exist_ok=True)
        done = targets.run(
            command, name, [corpus, *targets.inputs_of(name)], BUILD / "found", limit
        )
        total += done.executions
        print(
            f"{name:12} {done.executions:12,} executions {done.seconds:6.0f} s "
            f"{done.edges:6,} edges  {'ok' if done.passed else 'FAILED'}",
            flush=True,
        )
        if not done.passed:
            failed += 1
            print(done.text[-6000:])
        elif wanted.keep:
            keep(command, name, corpus)
    print(f"{'all':12} {total:12,} executions, {failed} of {len(wanted.targets)} targets failed")
    return 1 if failed else 0


def keep(command: list[str], name: str, corpus: Path) -> None:
    """Puts the smallest set of inputs that reaches as much in place of the one that is kept."""
    kept = targets.HERE / "corpus" / name
    fresh = BUILD / "kept" / name
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    done = targets.run(
        command,
        name,
        [fresh, *targets.inputs_of(name), corpus],
        BUILD / "found",
        "-merge=1",
        "-use_counters=0",
    )
    if not done.passed:
        raise SystemExit(done.text[-3000:])
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(fresh, kept)
    files = list(kept.iterdir())
    print(f"{name:12} {len(files)} inputs, {sum(file.stat().st_size for file in files)} bytes kept")


if __name__ == "__main__":
    sys.exit(main())
