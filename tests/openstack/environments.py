# SPDX-License-Identifier: Apache-2.0
"""Environments with a real service each, as an operator has them: from the index, and our wheel.

They are kept under build/openstack/, and made anew when `versions.txt` changes. The wheel is of
this checkout, and made anew when a source changes.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = ["Environment", "environment", "versions"]

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "openstack"
VERSIONS = Path(__file__).with_name("versions.txt")
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]


class Environment:
    """A virtual environment in *folder*."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def program(self, name: str) -> str:
        """Return the path of a program that one of its packages has installed."""
        return str(self.folder / "bin" / name)


def versions(*packages: str) -> str:
    """Return the pinned versions of some packages, as text."""
    lines = VERSIONS.read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if "==" in line)
    return ", ".join(f"{name} {pinned[name]}" for name in packages)


def environment(name: str, packages: Sequence[str]) -> Environment:
    """Return the environment *name* with these packages and our wheel; install what is missing."""
    folder = BUILD / name
    stamp = folder / "installed"
    wanted = _digest(*packages, VERSIONS.read_text(), sys.version)
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=False, symlinks=True)
        _install(folder, "--constraint", str(VERSIONS), *packages)
        stamp.write_text(wanted)
    _install(folder, "--no-deps", "--no-index", "--force-reinstall", str(_wheel()))
    return Environment(folder)


def _install(folder: Path, *what: str) -> None:
    python = str(folder / "bin" / "python")
    _run([*PIP, "--python", python, "install", *what])


def _wheel() -> Path:
    """Return the wheel of this checkout."""
    out = BUILD / "dist"
    built = sorted(out.glob("*.whl"))
    newest = max(path.stat().st_mtime_ns for path in _sources())
    if len(built) != 1 or built[0].stat().st_mtime_ns < newest:
        shutil.rmtree(out, ignore_errors=True)
        _run([*PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(out), "."])
        built = sorted(out.glob("*.whl"))
    return built[0]


def _sources() -> Iterator[Path]:
    """Yield the files of which the wheel is made."""
    suffixes = {".py", ".pyx", ".pxd", ".pxi", ".c", ".h", ".toml", ".pth"}
    generated = {path.with_suffix(".c") for path in ROOT.glob("shmetrics/**/*.pyx")}
    found = {*ROOT.glob("*"), *ROOT.glob("shmetrics/**/*"), *ROOT.glob("csrc/**/*")} - generated
    return (path for path in found if path.suffix in suffixes)


def _run(command: Sequence[str]) -> None:
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"{' '.join(command)}\n{ran.stdout}{ran.stderr}"


def _digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()
