# SPDX-License-Identifier: Apache-2.0
"""Builds into benchmarks/build what only the benchmarks need: `_floor.pyx` and the C programs."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
BUILD = HERE / "build"
RINGS = BUILD / "rings"
CORE = BUILD / "core"
CLOCKS = BUILD / "clocks"
_EXTENSION = BUILD / f"_floor{sysconfig.get_config_var('EXT_SUFFIX')}"


def _older(made: Path, *sources: Path) -> bool:
    return not made.exists() or any(s.stat().st_mtime > made.stat().st_mtime for s in sources)


def _compile(*arguments: str | Path) -> None:
    subprocess.run([os.environ.get("CC", "cc"), "-O2", *map(str, arguments)], check=True)


def build() -> None:
    """Makes what is missing or older than its source."""
    BUILD.mkdir(exist_ok=True)
    core = HERE.parent / "csrc"
    source = HERE / "_floor.pyx"
    if _older(_EXTENSION, source):
        generated = BUILD / "_floor.c"
        cython = [sys.executable, "-m", "cython", "-3", str(source), "-o", str(generated)]
        subprocess.run(cython, check=True)
        include = f"-I{sysconfig.get_path('include')}"
        _compile("-shared", "-fPIC", include, f"-I{core}", generated, "-o", _EXTENSION)
    drain = [
        core / f"{part}.c"
        for part in (
            "drain/drain",
            "drain/totals",
            "drain/entries",
            "drain/recovery",
            "drain/scale",
        )
    ]
    programs = (
        (RINGS, [HERE / "rings.c"]),
        (CLOCKS, [HERE / "clocks.c"]),
        (CORE, [HERE / "core.c", *drain]),
    )
    for made, sources in programs:
        if _older(made, *sources, *core.glob("*/*.h")):
            warnings = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow")
            _compile("-std=gnu11", *warnings, f"-I{core}", *sources, "-pthread", "-lm", "-o", made)


def extension() -> Any:
    """The compiled module of the floors."""
    spec = importlib.util.spec_from_file_location("_floor", _EXTENSION)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
