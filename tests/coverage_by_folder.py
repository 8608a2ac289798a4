# SPDX-License-Identifier: Apache-2.0
"""Print how much of each folder of shmetrics/ the tests have run, from coverage.py's JSON report.

python -m tests.coverage_by_folder build/coverage/report.json
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

_COUNTED = ("num_statements", "covered_lines", "num_branches", "covered_branches")


def by_folder(report: dict[str, Any]) -> dict[str, Counter[str]]:
    """Return the sums of each folder, and of all of them as `total`."""
    found: dict[str, Counter[str]] = {}
    for path, file in sorted(report["files"].items()):
        counts = Counter({name: file["summary"].get(name, 0) for name in _COUNTED})
        for folder in (str(PurePosixPath(path).parent), "total"):
            found.setdefault(folder, Counter()).update(counts)
    found["total"] = found.pop("total", Counter())  # last
    return found


def percent(counts: Counter[str]) -> float:
    """Return which part of the statements and branches has run."""
    whole = counts["num_statements"] + counts["num_branches"]
    return 100 * (counts["covered_lines"] + counts["covered_branches"]) / whole if whole else 100.0


def main(arguments: list[str]) -> int:
    """Print the table."""
    found = by_folder(json.loads(Path(arguments[0]).read_text()))
    width = max(map(len, found))
    print(f"{'folder':{width}}  statements  not run  branches  not run  covered")
    for folder, counts in found.items():
        print(
            f"{folder:{width}}  {counts['num_statements']:10}"
            f"  {counts['num_statements'] - counts['covered_lines']:7}"
            f"  {counts['num_branches']:8}"
            f"  {counts['num_branches'] - counts['covered_branches']:7}"
            f"  {percent(counts):6.1f}%"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
