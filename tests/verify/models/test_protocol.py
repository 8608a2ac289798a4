# SPDX-License-Identifier: Apache-2.0
"""The protocols of the lane in spin: every execution of a small instance, kills and all.

Each model says at its top what it shows. Its controls are mistakes, built in by a macro, that spin
has to find. What ties the models to the code are their quotes: see test_quotes.py.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent

pytestmark = pytest.mark.skipif(
    shutil.which("spin") is None, reason="spin is not installed (apt-get install spin)"
)

RIGHT = [
    ("lane", "EVENTS=3"),
    ("lane", "EVENTS=3 REVERSED"),
    ("lane", "EVENTS=3 UNKILLED"),
    ("lane", "LANES=2 EVENTS=1 REVERSED"),
    ("calls", "CALLS=4"),
    ("life", ""),
    ("move", "CALLS=2 LANES=2"),
    ("move", "CALLS=1 LANES=3 SETS=0"),
    ("move", "CALLS=1 LANES=2 LOOKS"),
    ("move", "CALLS=1 LANES=3 SETS=0 LOOKS"),
]
REACHES_EVERYTHING = {
    ("lane", "EVENTS=3"),
    ("calls", "CALLS=4"),
    ("life", ""),
    ("move", "CALLS=2 LANES=2"),
}

WRONG = [
    ("lane", "EVENTS=3 HEAD_FIRST"),  # the record is published, then filled
    ("lane", "EVENTS=3 ONE_TOO_MANY"),  # the ring takes more than it has slots
    ("lane", "EVENTS=3 WITHOUT_KICK"),
    ("lane", "EVENTS=3 UNKILLED WAIT_FOR_ROOM"),  # instead of spilling
    ("lane", "EVENTS=3 TAIL_FIRST"),  # before the store's cells
    ("lane", "EVENTS=3 WITHOUT_UNDO"),
    ("lane", "EVENTS=3 NOTE_AFTER_NAME"),  # the event is named before the old values are noted
    ("lane", "EVENTS=3 REVERSED KIND_STAYS"),  # while the entry is written anew
    ("lane", "EVENTS=3 KIND_FIRST"),  # the entry is cleared, then the old values put back
    ("lane", "EVENTS=3 SEEN_FIRST"),  # before the store's cells
    ("lane", "EVENTS=3 REPORTED_FIRST"),  # before the store's count
    ("lane", "EVENTS=3 WITHOUT_INTENT_NONE"),  # an intent counts while it is written
    ("lane", "EVENTS=3 SPILLED_FIRST"),  # before the lane's cells
    ("lane", "EVENTS=3 ADDED_FIRST"),  # before the cell
    ("lane", "EVENTS=3 WITHOUT_FINISH"),  # of what a dead emitter was spilling
    ("lane", "LANES=2 EVENTS=1 ANY_LANE"),  # takes another lane's undo entry for its own
    ("calls", "LIST_FIRST"),  # a call is listed, then its start is counted
    ("calls", "FREE_FIRST"),  # its slot is free, then its end is counted
    ("calls", "SPILLED_EARLY"),  # a move that begins with what should be last
    ("calls", "WITHOUT_RELIST"),
    ("calls", "LIST_AGAIN"),  # lists a call anew that was given up before a kill
    ("calls", "HIGH_AS_FOUND"),  # after a move that was cut off before its last store
    ("calls", "HIGH_ALWAYS"),  # after one that was cut off before anything counted
    ("calls", "WITHOUT_UNDO"),
    ("life", "KEEP_LANE"),  # the child goes on in its parent's lane
    ("life", "KEEP_MAPPING"),  # or forgets it, and leaves it mapped
    ("life", "ONLY_MAPPED"),  # what is on its way counts as nobody's
    ("life", "DEAD_BY_CONNECTION"),  # instead of by a lease
    ("move", "CALLS=2 LANES=2 TOTALS_COPIED"),  # the old lane's, beside its state
    ("move", "CALLS=2 LANES=2 NAMED_EARLY"),  # the new lane, before anything is in it
    ("move", "CALLS=2 LANES=2 GAUGE_LATE"),  # after the lane is named
    ("move", "CALLS=2 LANES=2 UNLISTED_EARLY"),  # a call whose end waits
    ("move", "CALLS=2 LANES=2 SETTLED_LIST_FIRST"),  # a call is listed, then its start is counted
    ("move", "CALLS=2 LANES=2 DRAINED_BEFORE_NAMED"),
    ("move", "CALLS=2 LANES=2 WITHOUT_LAST_DRAIN"),
    ("move", "CALLS=2 LANES=2 COUNTED_WHEN_LEFT"),  # the state in the lane that was left
    ("move", "CALLS=2 LANES=2 ARRIVED_LATE"),  # after the lane before is gone
    ("move", "CALLS=2 LANES=2 ARRIVED_WHEN_ALONE"),  # once the lane before is gone
    ("move", "CALLS=1 LANES=2 LOOKS SHOWN_LANE_BY_LANE"),  # and not by one look at all lanes
    ("move", "CALLS=1 LANES=2 LOOKS NAMED_EARLY"),
]


def verify(folder: Path, model: str, switches: str) -> str:
    """Return what the search says: it looks at every state, or stops at the first error."""
    defines = [f"-D{switch}" for switch in switches.split()]
    subprocess.run(
        ["spin", "-a", *defines, HERE / f"{model}.pml"],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=300,
    )
    build = ["gcc", "-O2", "-w", "-DSAFETY", "-DNOCLAIM", "-DCOLLAPSE", "-DMEMLIM=3000"]
    subprocess.run([*build, "-o", "pan", "pan.c"], cwd=folder, check=True, timeout=600)
    done = subprocess.run(
        ["./pan", "-m200000"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert "max search depth too small" not in done.stdout
    assert "out of memory" not in done.stdout
    return done.stdout


@pytest.mark.parametrize(("model", "switches"), RIGHT)
def test_every_execution_is_right(tmp_path: Path, model: str, switches: str) -> None:
    found = verify(tmp_path, model, switches)
    assert "errors: 0" in found, found
    assert "Search not completed" not in found
    if (model, switches) in REACHES_EVERYTHING:
        unreached = re.findall(r", state \d+, \"(?P<statement>.*)\"", found)
        assert set(unreached) <= {"-end-"}, unreached  # some go on for ever


@pytest.mark.parametrize(("model", "switches"), WRONG)
def test_a_mistake_shows(tmp_path: Path, model: str, switches: str) -> None:
    assert re.search(
        r"pan:1: (assertion violated|invalid end state)", verify(tmp_path, model, switches)
    )
