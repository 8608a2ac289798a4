# SPDX-License-Identifier: Apache-2.0
"""A store and its families, opened for as long as a block runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from shmetrics.store.families import Families
from shmetrics.store.limits import Limits
from shmetrics.store.store import Store

MIB = 1 << 20
DEFAULTS = Limits()


@contextlib.contextmanager
def opened(path: Path, max_bytes: int = MIB, limits: Limits = DEFAULTS) -> Iterator[Families]:
    """Yield the families of the store at path. Nothing of them may be kept beyond the block."""
    store = Store(path, max_bytes)
    try:
        families = Families(store, limits, lambda family: None)
        yield families
        vars(families).clear()  # families and Families refer to each other
    finally:
        store.close()
