# SPDX-License-Identifier: Apache-2.0
"""Folders that other users can go to, which pytest's own are not."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.probes.asking import NOBODY


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a folder that everybody may search, and only this user may write to."""
    made = Path(tempfile.mkdtemp(prefix="shm-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def open_folder(folder: Path) -> Path:
    """Return a folder in it to which the user of commands may write."""
    made = folder / "open"
    made.mkdir()
    if os.geteuid() == 0:
        os.chown(made, NOBODY, NOBODY)
    return made
