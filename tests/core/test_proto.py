# SPDX-License-Identifier: Apache-2.0
"""The protobuf core on its own, under AddressSanitizer and UndefinedBehaviorSanitizer."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.core.test_text import SANITIZERS, WARNINGS, run
from tests.servers.once import once

ROOT = Path(__file__).parents[2]
SOURCES = [
    ROOT / "tests" / "core" / "proto_driver.c",
    ROOT / "csrc" / "render" / "native.c",
    ROOT / "csrc" / "render" / "proto.c",
    ROOT / "csrc" / "render" / "proto_exemplar.c",
]


def build(folder: Path) -> None:
    flags = [*WARNINGS, *SANITIZERS, "-g", "-O1", f"-I{ROOT / 'csrc'}"]
    subprocess.run(["gcc", *flags, "-o", folder / "driver", *SOURCES], check=True, timeout=120)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return once(tmp_path_factory, "proto", build) / "driver"


@pytest.mark.parametrize("seed", [3, 5, 7])
def test_pieces_stay_inside_their_bounds(driver: Path, seed: int) -> None:
    assert len(run(driver, str(seed), "3000")) > 1_000_000
