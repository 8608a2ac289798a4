# SPDX-License-Identifier: Apache-2.0
"""Both archives, built once, and an environment with nothing in it but the wheel."""

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.once import once

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Archives:
    """sdist: the source archive's members below its top folder. The wheel was built from it."""

    wheel: Path
    sdist: frozenset[str]

    def wheel_text(self, suffix: str) -> str:
        with zipfile.ZipFile(self.wheel) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(suffix))
            return archive.read(name).decode()

    def wheel_names(self) -> frozenset[str]:
        with zipfile.ZipFile(self.wheel) as archive:
            return frozenset(archive.namelist())


@dataclass(frozen=True)
class Installation:
    """An environment of its own; nothing of this checkout can be imported in it."""

    python: Path
    home: Path

    def run(
        self, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.python), *arguments],
            cwd=self.home,
            env={"PATH": os.environ["PATH"], "HOME": str(self.home), **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


def build(out: Path) -> None:
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout[-3000:] + built.stderr[-3000:]


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Archives:
    built = os.environ.get("SHMETRICS_ARCHIVES")  # of this checkout, built just before
    out = Path(built) if built else once(tmp_path_factory, "dist", build)
    (sdist,) = out.glob("*.tar.gz")
    (wheel,) = out.glob("*.whl")
    with tarfile.open(sdist) as archive:
        names = frozenset(
            member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()
        )
    return Archives(wheel, names)


@pytest.fixture(scope="session")
def installation(archives: Archives, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    home = tmp_path_factory.mktemp("empty")
    venv.create(home / "venv", with_pip=False, symlinks=True)
    python = home / "venv" / "bin" / "python"
    # This environment's pip installs into the other one, which then has nothing but the wheel.
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    command += ["--no-index", "--disable-pip-version-check", str(archives.wheel)]
    subprocess.run(command, check=True)
    return Installation(python, home)
