# SPDX-License-Identifier: Apache-2.0
"""The core under ThreadSanitizer, AddressSanitizer and UBSan."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.core.sources import DRAIN

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
CORE = ROOT / "tests" / "core"
RACE = 66  # what ThreadSanitizer is told to exit with


def compile_and_run(
    folder: Path, sources: list[Path], sanitizer: str
) -> subprocess.CompletedProcess[str]:
    program = folder / "stress"
    subprocess.run(
        [
            *("gcc", "-std=gnu11", "-g", "-O1", f"-fsanitize={sanitizer}", "-pthread"),
            *("-I", str(ROOT / "csrc"), "-I", str(CORE), *map(str, sources), "-o", str(program)),
        ],
        check=True,
    )
    environment = {**os.environ, "TSAN_OPTIONS": f"exitcode={RACE}"}
    return subprocess.run(
        [str(program)], env=environment, capture_output=True, text=True, timeout=600, check=False
    )


def test_two_threads_on_one_lane_do_not_race(tmp_path: Path) -> None:
    sources = [HERE / "stress.c", CORE / "shim.c", *DRAIN]
    done = compile_and_run(tmp_path, sources, "thread")
    assert (done.returncode, done.stdout) == (0, "exact\n"), done.stderr


def test_without_releases_the_same_threads_race(tmp_path: Path) -> None:
    done = compile_and_run(tmp_path, [HERE / "stress_relaxed.c"], "thread")
    assert done.returncode == RACE
    assert "data race" in done.stderr


def test_two_threads_under_address_and_undefined_sanitizers(tmp_path: Path) -> None:
    sources = [HERE / "stress.c", CORE / "shim.c", *DRAIN]
    done = compile_and_run(tmp_path, sources, "address,undefined")
    assert (done.returncode, done.stdout, done.stderr) == (0, "exact\n", "")


def test_the_core_suite_under_address_and_undefined_sanitizers() -> None:
    libraries = [
        subprocess.check_output(["gcc", f"-print-file-name={name}"], text=True).strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    environment = {
        **os.environ,
        "SHM_CORE_SANITIZE": "address,undefined",
        "LD_PRELOAD": " ".join(libraries),
        # Python itself keeps memory until it exits.
        "ASAN_OPTIONS": "detect_leaks=0:exitcode=67",
        "UBSAN_OPTIONS": "halt_on_error=1:exitcode=68",
    }
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CORE)),
        ],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=1200,  # a minute or two, on a machine that does nothing else
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "passed" in done.stdout
