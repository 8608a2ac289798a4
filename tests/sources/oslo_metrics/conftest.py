# SPDX-License-Identifier: Apache-2.0
"""The families of RPC calls in a real store, and a receiver in front of them."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from shmetrics.oslo_families import RPC_CLIENT, RPC_SERVER
from shmetrics.sources.oslo_metrics import Receiver
from shmetrics.store.families import Families
from shmetrics.store.histograms import CallFamily
from shmetrics.store.limits import Limits
from shmetrics.store.store import Store

BOUNDS = (0.01, 0.1, 1.0)
DEFINITIONS = [side._replace(bounds=BOUNDS) for side in (RPC_CLIENT, RPC_SERVER)]


class FakeLanes:
    """The lanes of processes: their families by pid, which are known after a drain."""

    def __init__(self) -> None:
        self.undrained: dict[int, str] = {}
        self.known: dict[int, str] = {}

    def drain(self) -> None:
        self.known |= self.undrained

    def is_recorded(self, pid: int, family: str) -> bool:
        return self.known.get(pid) == family


class Tables:
    """The tables of a receiver: counts of datagrams, and the series of each side."""

    def __init__(self, store: Store) -> None:
        self.datagrams: Counter[str] = Counter()
        self.lanes = FakeLanes()
        self.seconds = 0.0
        families = Families(store, Limits(), lambda family: None)
        self.families: dict[str, CallFamily] = {}
        for definition in DEFINITIONS:
            family = families.define(definition)
            assert isinstance(family, CallFamily)
            self.families[definition.name] = family
        self.receiver = Receiver(
            {
                name: (family, family.definition.label_names)
                for name, family in self.families.items()
            },
            lambda result: self.datagrams.update([result]),
            self.lanes,
            lambda: self.seconds,
        )

    def shown(self, prefix: str) -> list[tuple[dict[str, str], list[int]]]:
        """Return each series' labels that are not empty, with starts, ends, nanoseconds and
        buckets."""
        family = self.families[prefix]
        rows = np.hstack([family.rows(family.first_count), family.classic()])
        return [
            (named(family.series.names, values), [int(cell) for cell in rows[row]])
            for row, values in enumerate(family.series.values)
        ]

    def exceptions(self, prefix: str) -> list[tuple[dict[str, str], float]]:
        family = self.families[prefix].exceptions
        assert family is not None
        rows = family.rows().view("f8")
        return [
            (named(family.series.names, values), float(rows[row][0]))
            for row, values in enumerate(family.series.values)
        ]


def named(names: tuple[str, ...], values: tuple[str, ...]) -> dict[str, str]:
    return {name: value for name, value in zip(names, values, strict=True) if value}


@pytest.fixture
def tables(tmp_path: Path) -> Iterator[Tables]:
    store = Store(tmp_path / "store", 1 << 20)
    found = Tables(store)
    yield found
    del found.receiver, found.families
    store.close()
