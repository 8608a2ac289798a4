# SPDX-License-Identifier: Apache-2.0
"""The result of a run, as the table of docs/openstack.md."""

from __future__ import annotations

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

    def add(self, service: str, what: str, found: str) -> None:
        """Add a row. found: how much of it there was, and how it compares."""
        self._rows.append((service, what, found))

    def add_label_sets(self, service: str, samples: Samples) -> None:
        """Add how many label sets each process has."""
        for process, numbers in counted.label_sets(samples).items():
            what = f"label sets of {process}: client, server, notifications"
            self.add(service, what, numbers)

    def table(self) -> str:
        lines = [self._head, "", "| service | what | found |", "|---|---|---|"]
        lines += [f"| {' | '.join(row)} |" for row in self._rows]
        return "\n".join(lines) + "\n"
