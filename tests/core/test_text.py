# SPDX-License-Identifier: Apache-2.0
"""The text core on its own, under AddressSanitizer and UndefinedBehaviorSanitizer."""

from __future__ import annotations

import random
import struct
import subprocess
from pathlib import Path

import pytest
from prometheus_client.utils import floatToGoString

from tests.servers.once import once

ROOT = Path(__file__).parents[2]
SOURCES = [
    ROOT / "tests" / "core" / "text_driver.c",
    ROOT / "csrc" / "render" / "text.c",
    ROOT / "csrc" / "render" / "number.c",
    ROOT / "csrc" / "render" / "decimal.c",
]
WARNINGS = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
SANITIZERS = ["-fsanitize=address,undefined,float-cast-overflow", "-fno-sanitize-recover=all"]


def build(folder: Path) -> None:
    flags = [*WARNINGS, *SANITIZERS, "-g", "-O1", f"-I{ROOT / 'csrc'}"]
    command: list[str | Path] = ["gcc", *flags, "-o", folder / "driver"]
    command += [*SOURCES, "-lm", "-pthread"]
    subprocess.run(command, check=True, timeout=120)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return once(tmp_path_factory, "text", build) / "driver"


def run(driver: Path, *arguments: str, given: bytes = b"") -> bytes:
    done = subprocess.run(
        [driver, *arguments], input=given, capture_output=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


def test_numbers(driver: Path) -> None:
    random_bits = random.Random(2)
    bits = [
        0,
        1 << 63,
        0x7FF << 52,
        0xFFF << 52,
        (0x7FF << 52) + 1,
        *((exponent << 52) + offset for exponent in range(1, 2047) for offset in (-1, 0, 1)),
        *(random_bits.getrandbits(64) for _ in range(50_000)),
    ]
    given = struct.pack(f"<{len(bits)}Q", *bits)
    values = struct.unpack(f"<{len(bits)}d", given)
    expected = [floatToGoString(value) for value in values]  # type: ignore[no-untyped-call]
    assert run(driver, "numbers", given=given).decode().splitlines() == expected


@pytest.mark.parametrize("seed", [3, 5, 7])
def test_families_stay_inside_their_bound(driver: Path, seed: int) -> None:
    assert run(driver, "families", str(seed), "3000").count(b"\n") > 3000
