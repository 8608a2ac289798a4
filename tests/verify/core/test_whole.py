# SPDX-License-Identifier: Apache-2.0
"""Every file of the core under what looks at each access: valgrind, and the compilers' sanitizers.

helgrind and drd are not among them: they know locks, but not C11 atomics, and call every one of the
lane's a race. Races are for ThreadSanitizer (test_sanitizers.py) and relacy (tests/verify/models).
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
CSRC = ROOT / "csrc"

FLAGS = ("-std=gnu11", "-g", "-O1", "-pthread", f"-I{CSRC}", f"-I{HERE}")
FOUND = 66  # what each is told to exit with

# Programs, with their sources: together all of csrc/.
TEXT_DRIVER = ROOT / "tests" / "core" / "text_driver.c"
TEXT = ("render/text", "render/number", "render/decimal")
WHOLE_LIFE = HERE / "whole.c"
WHOLE = (
    *(
        "drain/drain",
        "drain/totals",
        "drain/entries",
        "drain/exemplars",
        "drain/scale",
        "drain/state",
    ),
    *("drain/recovery", "drain/contained", "drain/guard", "emit/process", "emit/ids"),
)


GATHER = HERE / "gather.c"
# A started child leaves its stack without a return, and the next one begins on it: that is a use
# after its scope to the sanitizer, and to nobody else.
GATHER_FLAGS = ("-fno-sanitize-address-use-after-scope",)
GATHERED = (
    *("units/devices", "units/process", "units/processes", "units/read", "units/values"),
    *("units/walk", "spawn/start"),
)


class Tool(NamedTuple):
    """A tool: how to build for it, how to run under it, and which mistake of whole.c it is for."""

    build: tuple[str, ...]
    run: tuple[str, ...]
    environment: dict[str, str]
    finds: tuple[str, ...]
    starts: tuple[str, ...] = ("start",)  # of gather.c


TOOLS = {
    "valgrind": Tool(
        ("gcc",),
        (*("valgrind", "-q", f"--error-exitcode={FOUND}"), "--leak-check=full"),
        {},
        ("overrun", "uninitialised"),
        starts=(),  # it knows no clone(2) but that of threads and of vfork(2)
    ),
    "address and undefined": Tool(
        ("gcc", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
        (),
        {"ASAN_OPTIONS": f"exitcode={FOUND}", "UBSAN_OPTIONS": f"exitcode={FOUND}"},
        ("overrun",),
    ),
    "memory": Tool(
        ("clang", "-fsanitize=memory", "-fno-sanitize-recover=all"),
        (),
        {"MSAN_OPTIONS": f"exitcode={FOUND}"},
        ("uninitialised",),
    ),
}


def run(
    folder: Path,
    tool: Tool,
    program: Path,
    parts: tuple[str, ...],
    *words: str,
    flags: tuple[str, ...] = (),
) -> subprocess.CompletedProcess[str]:
    for needed in (tool.build[0], *tool.run[:1]):
        if shutil.which(needed) is None:
            pytest.skip(f"{needed} is not installed (apt-get install {needed})")
    binary = folder / program.stem
    sources = [program, *(CSRC / f"{part}.c" for part in parts)]
    subprocess.run(
        [*tool.build, *FLAGS, *flags, *sources, "-lm", "-o", binary], check=True, timeout=600
    )
    return subprocess.run(
        [*tool.run, binary, *words],
        env=tool.environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_together_they_are_the_whole_core() -> None:
    elsewhere = {
        *("render/native", "render/proto", "render/proto_exemplar"),  # tests/core/test_proto.py
        *("render/lines", "render/otlp", "render/remote_write"),  # tests/core/test_push.py
    }
    assert {str(path.relative_to(CSRC).with_suffix("")) for path in CSRC.glob("*/*.c")} == {
        *TEXT,
        *WHOLE,
        *GATHERED,
        *elsewhere,
    }


@pytest.mark.parametrize("name", TOOLS)
def test_a_life_of_the_core_is_clean(tmp_path: Path, name: str) -> None:
    done = run(tmp_path, TOOLS[name], WHOLE_LIFE, WHOLE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "whole\n", "")


@pytest.mark.parametrize("name", TOOLS)
def test_gathering_is_clean(tmp_path: Path, name: str) -> None:
    leaf = tmp_path / "tree" / "leaf"
    leaf.mkdir(parents=True)
    (leaf / "cpu.stat").write_text("usage_usec 5\n")
    (leaf / "memory.max").write_text("max\n")
    (leaf / "io.stat").write_text("8:0 rbytes=1")
    tool = TOOLS[name]
    words = (str(leaf.parent), *tool.starts)
    done = run(tmp_path, tool, GATHER, GATHERED, *words, flags=GATHER_FLAGS)
    assert (done.returncode, done.stdout, done.stderr) == (0, "gathered\n", "")


@pytest.mark.parametrize("name", TOOLS)
def test_rendering_text_is_clean(tmp_path: Path, name: str) -> None:
    done = run(tmp_path, TOOLS[name], TEXT_DRIVER, TEXT, "families", "3", "100")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.parametrize(
    ("name", "mistake"), [(name, mistake) for name in TOOLS for mistake in TOOLS[name].finds]
)
def test_a_mistake_is_found(tmp_path: Path, name: str, mistake: str) -> None:
    assert run(tmp_path, TOOLS[name], WHOLE_LIFE, WHOLE, mistake).returncode == FOUND
