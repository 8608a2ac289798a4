# SPDX-License-Identifier: Apache-2.0
"""Files that cannot be used, and are kept out of the way."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from pathlib import Path


def set_aside(path: Path, ending: str = "", beside: Iterable[str] = ()) -> Path:
    """Rename a file so that it is out of the way and not lost; return its new name.

    ending: of the new name, whose file is replaced. Empty: the time, and a number where that is
    taken. beside: endings of files that belong to this one, and go with it.

    Raises OSError. A file that is not there is none to rename.
    """
    aside = path.with_name(f"{path.name}.{ending}") if ending else _free(path)
    for part in ("", *beside):
        to = aside.with_name(aside.name + part)
        to.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + part).rename(to)
    return aside


def _free(path: Path) -> Path:
    first = aside = path.with_name(f"{path.name}.{time.strftime('%Y%m%dT%H%M%S')}")
    number = 1
    while aside.exists():
        number += 1
        aside = first.with_name(f"{first.name}-{number}")
    return aside
