# SPDX-License-Identifier: Apache-2.0
"""A soak in short: everything that the long one does, at least once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.nodes.node import ROOT
from tests.verify.soak.plan import PER_MINUTE, Plan


def test_a_short_soak_is_exact_to_the_unit(tmp_path: Path) -> None:
    result = tmp_path / "soak.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.verify.soak", "--minutes", "0.2", "--seed", "3"),
            *("--json", str(result)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    found = json.loads(result.read_text())
    assert found["wrong"] == []
    assert found["done"].keys() == PER_MINUTE.keys()
    for what, (times, wanted) in found["done"].items():
        assert times >= wanted >= 1, what
    assert found["events"] > found["spilled"] > 0
    assert found["totals_exact"] > 280
    in_larger_lanes, _ = found["done"]["emitter killed in a larger lane"]
    assert found["killed_after_a_move"] >= in_larger_lanes
    assert found["turned_away"] > 10
    assert "seed 3: exact to the unit, nobody harmed" in done.stdout


def test_ten_minutes_are_what_was_promised() -> None:
    wanted = Plan(10, seed=0).wanted
    assert wanted["collector killed"] >= 200
    assert wanted["emitter killed"] >= 500
    assert wanted["collector frozen"] >= 20
    assert wanted["intruder"] >= 50
    freezes = [act.freeze_seconds for act in Plan(10, seed=0).collectors()]
    assert max(freezes) == 60


def test_a_seed_says_what_happens() -> None:
    one, same, other = (Plan(1, seed=seed).collectors() for seed in (1, 1, 2))
    assert one == same != other
