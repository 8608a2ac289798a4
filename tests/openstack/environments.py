# SPDX-License-Identifier: Apache-2.0
"""Environments with a real service each, as an operator has them: from the index, and our wheel.

They are kept under build/openstack/, and made anew when `versions.txt` changes. The wheel is of
this checkout, and made anew when a source changes, comes or goes.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

__all__ = ["Environment", "environment", "versions", "without_us"]

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


@cache
def environment(name: str, packages: tuple[str, ...]) -> Environment:
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


@cache
def without_us(other: Environment) -> Environment:
    """Return an environment with all that another one has, apart from shmetrics."""
    folder = other.folder.with_name(f"{other.folder.name}-without-us")
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=False, symlinks=True)
    for shared in ("etc", "share"):
        (folder / shared).symlink_to(other.folder / shared)
    (packages,) = folder.glob("lib/*/site-packages")
    for package in (other.folder / packages.relative_to(folder)).iterdir():
        if "shmetrics" not in package.name:
            (packages / package.name).symlink_to(package)
    for program in (other.folder / "bin").iterdir():
        ours = folder / "bin" / program.name
        if program.is_file() and program.name != "shmetrics" and not ours.exists():
            # A script names the Python that runs it.
            was, now = (f"#!{each}/bin/python".encode() for each in (other.folder, folder))
            ours.write_bytes(program.read_bytes().replace(was, now, 1))
            ours.chmod(0o755)
    return Environment(folder)


def _install(folder: Path, *what: str) -> None:
    python = str(folder / "bin" / "python")
    _run([*PIP, "--python", python, "install", *what])


@cache
def _wheel() -> Path:
    """Return the wheel of this checkout."""
    out = BUILD / "dist"
    stamp = out / "sources"
    wanted = _digest(sys.version, *(f"{path}\n{path.read_bytes()!r}" for path in _sources()))
    if not stamp.exists() or stamp.read_text() != wanted:
        # A build leaves there what it has copied, and the next one packs it, even what is gone.
        for left in (out, *ROOT.glob("build/lib.*")):
            shutil.rmtree(left, ignore_errors=True)
        _run([*PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(out), "."])
        stamp.write_text(wanted)
    (built,) = out.glob("*.whl")
    return built


def _sources() -> Iterator[Path]:
    """Yield the files of which the wheel is made."""
    generated = {path.with_suffix(".c") for path in ROOT.glob("shmetrics/**/*.pyx")}
    for pattern in ("*.toml", "*.py", "*.pth", "*.in", "shmetrics/**/*", "csrc/**/*"):
        for path in sorted(set(ROOT.glob(pattern)) - generated):
            if path.is_file() and path.suffix not in {".pyc", ".so"}:
                yield path


def _run(command: Sequence[str]) -> None:
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"{' '.join(command)}\n{ran.stdout}{ran.stderr}"


def _digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()
