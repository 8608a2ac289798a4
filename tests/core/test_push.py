# SPDX-License-Identifier: Apache-2.0
"""The writers for destinations on their own, under AddressSanitizer and
UndefinedBehaviorSanitizer."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.core.test_text import SANITIZERS, WARNINGS, run

ROOT = Path(__file__).parents[2]
NAMES = ("decimal", "lines", "native", "number", "otlp", "remote_write")
SOURCES = [
    ROOT / "tests" / "core" / "push_driver.c",
    *(ROOT / "csrc" / "render" / f"{name}.c" for name in NAMES),
]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("push") / "push_driver"
    flags = [*WARNINGS, *SANITIZERS, "-g", "-O1", f"-I{ROOT / 'csrc'}"]
    subprocess.run(["gcc", *flags, "-o", program, *SOURCES, "-lm"], check=True, timeout=120)
    return program


@pytest.mark.parametrize("seed", [3, 5, 7])
def test_pieces_stay_inside_their_bounds(driver: Path, seed: int) -> None:
    assert len(run(driver, str(seed), "3000")) > 1_000_000
