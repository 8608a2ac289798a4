# SPDX-License-Identifier: Apache-2.0
"""The result of a run, as docs/openstack.md has it: what was compared, and the label sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.nodes.samples import Samples
from tests.openstack import counted
from tests.openstack.environments import versions

__all__ = ["Result"]

NAMED: Final = (
    *("zaqar", "vitrage", "nova", "openstack-placement", "openstack-heat", "ironic"),
    *("oslo.messaging", "oslo.metrics", "osprofiler", "eventlet"),
)


class Result:
    """A record of what was installed and compared. date: of the run. python: its version."""

    def __init__(self, date: str, python: str) -> None:
        self._head = f"On {date}, with CPython {python}, {versions(*NAMED)}:"
        self._rows: list[tuple[str, str, str]] = []
        self._label_sets: list[tuple[str, str, int, int, int]] = []

    def add(self, service: str, what: str, found: str) -> None:
        """Add a row. found: how much of it there was, and how it compares."""
        self._rows.append((service, what, found))

    def add_label_sets(self, work: str, samples: Samples) -> None:
        """Add how many label sets each process has after some work."""
        for process, numbers in counted.label_sets(samples).items():
            self._label_sets.append((work, f"`{process}`", *numbers))

    def text(self) -> str:
        parts = [
            self._head,
            _table(("service", "what", "found"), self._rows),
            _table(("work", "process", "sent", "served", "notifications"), self._label_sets),
        ]
        return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    cells = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in cells)
