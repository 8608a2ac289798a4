# SPDX-License-Identifier: Apache-2.0
"""The table of coverage adds files up by folder, and everything in its last row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import coverage_by_folder


def summary(statements: int, covered: int, branches: int, covered_branches: int) -> object:
    counts = statements, covered, branches, covered_branches
    return {"summary": dict(zip(coverage_by_folder._COUNTED, counts, strict=True))}


def test_files_are_added_up_by_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "report.json"
    files = {
        "shmetrics/web/app.py": summary(30, 20, 10, 5),
        "shmetrics/rpc.py": summary(10, 10, 0, 0),
        "shmetrics/web/page.py": summary(10, 10, 0, 0),
    }
    report.write_text(json.dumps({"files": files}))
    assert coverage_by_folder.main([str(report)]) == 0
    _, *rows = capsys.readouterr().out.splitlines()
    assert [row.split() for row in rows] == [
        ["shmetrics", "10", "0", "0", "0", "100.0%"],
        ["shmetrics/web", "40", "10", "10", "5", "70.0%"],
        ["total", "50", "10", "10", "5", "75.0%"],
    ]
