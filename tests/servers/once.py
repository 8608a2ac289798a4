# SPDX-License-Identifier: Apache-2.0
"""Builds that take long, made once for all workers that share a run of the tests."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from pathlib import Path

import pytest

__all__ = ["once"]


def once(factory: pytest.TempPathFactory, name: str, build: Callable[[Path], object]) -> Path:
    """Return the folder *name*, which *build* has filled, in this worker or in another one.

    A build that failed is tried again by whoever needs it next.
    """
    base = factory.getbasetemp()
    if base.name.startswith("popen-"):  # a worker's own, in that of the run
        base = base.parent
    folder = base / name
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = base / f"{name}.done"
        if not done.exists():
            folder.mkdir(exist_ok=True)
            build(folder)
            done.touch()
    return folder
