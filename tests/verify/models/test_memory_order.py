# SPDX-License-Identifier: Apache-2.0
"""The core's own code under relacy, a checker of the C++11 memory model.

The sources are compiled as C++ over the checker's atomics (relacy/stdatomic.h) and plain words that
report a race. Each release and each acquire in the core is then relaxed, one at a time, and the
checker has to object: an order that nothing needs, or nothing checks, does not pass.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.servers.once import once

from .core import CSRC, Operation, operations

HERE = Path(__file__).parent
SCENARIOS = (
    *("counting", "adding", "calling", "reusing", "describing", "gauging", "moving", "moving_adds"),
    *("observing", "observing_first", "settling_total"),
    *("replacing", "settling_calls", "settling_end", "settling_adds", "settling_gauge"),
    "telling",
)

pytestmark = pytest.mark.skipif(
    shutil.which("g++") is None or not Path("/usr/include/relacy/relacy.hpp").exists(),
    reason="g++ or relacy is not installed (apt-get install g++ relacy-dev)",
)

# Orders that the scenarios cannot see, and why they are there.
BEYOND = {
    "shm_lane_format_after": "a lane is handed over by the kernel, long after it was made",
    "shm_lane_attach": "the same",
    "shm_put_total": "in C11 the release of shm_put_generation holds for later stores of its"
    " thread, in C++20 it does not",
}


def without_sizes(text: str) -> str:
    """A header whose atomics may be of any size."""
    return re.sub(r"^static_assert\(.*?\);\n", "", text, flags=re.DOTALL | re.MULTILINE)


def layout_for_relacy(text: str) -> str:
    """csrc/lane/layout.h, but a record's words report races, and nothing is at its offset."""
    text = without_sizes(text)
    record = re.search(r"struct shm_record \{.*?\n\};", text, re.DOTALL)
    assert record is not None
    words = re.sub(r"\b(u?int\d+_t|double) ((?!zero)\w+;)", r"::model::plain<\1> \2", record[0])
    words = re.sub(r"^    (union \{|\};)\n", "", words, flags=re.MULTILINE)
    return text.replace(record[0], words)


def build(folder: Path) -> None:
    core = folder / "csrc"
    shutil.copytree(CSRC, core)
    (core / "lane" / "layout.h").write_text(
        layout_for_relacy((CSRC / "lane" / "layout.h").read_text())
    )
    (core / "drain" / "ledger.h").write_text(
        without_sizes((CSRC / "drain" / "ledger.h").read_text())
    )
    # -fpermissive: C takes a void pointer for any other. -w: relacy is older than its compiler.
    command = ["g++", "-std=c++20", "-O2", "-w", "-fpermissive", f"-I{HERE / 'relacy'}"]
    subprocess.run(
        [*command, f"-I{core}", HERE / "relacy" / "scenarios.cpp", "-o", folder / "scenarios"],
        check=True,
        timeout=600,
    )


@pytest.fixture(scope="module")
def scenarios(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return once(tmp_path_factory, "relacy", build) / "scenarios"


def run(program: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *words],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=600,
        check=False,
    )


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_execution_is_right(scenarios: Path, name: str) -> None:
    done = run(scenarios, name, "30000")
    assert done.returncode == 0, done.stdout[:2000]
    assert "iterations: 30000" in done.stdout


ORDERED = [one for one in operations() if one.order != "memory_order_relaxed"]


def test_nothing_is_exempt_that_is_not_there() -> None:
    assert set(BEYOND) <= {one.function for one in ORDERED}
    assert len(ORDERED) > 15


@pytest.mark.parametrize(
    "operation", [one for one in ORDERED if one.function not in BEYOND], ids=str
)
def test_a_weaker_order_shows(scenarios: Path, operation: Operation) -> None:
    for name in SCENARIOS:
        done = run(scenarios, name, "30000", operation.function, operation.object)
        if done.returncode == 1:
            assert "DATA RACE" in done.stdout or "USER ASSERT FAILED" in done.stdout
            return
    pytest.fail(f"{operation.order} is not needed, or no scenario sees what it is for")
