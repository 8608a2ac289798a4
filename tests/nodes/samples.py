# SPDX-License-Identifier: Apache-2.0
"""An exposition as a dictionary, read with prometheus_client's own parsers."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text

from shmetrics.render import openmetrics as newer
from shmetrics.render import text as rendering
from shmetrics.tables.table import Table

Labels = tuple[tuple[str, str], ...]
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class Samples(dict[tuple[str, Labels], float]):
    """Values by name and sorted labels."""

    def value(self, name: str, **labels: str) -> float:
        """Return the value with exactly these labels. Raises KeyError if there is no such
        sample."""
        return self[name, tuple(sorted(labels.items()))]

    def of(self, name: str) -> dict[Labels, float]:
        """Return all samples of one name, by labels."""
        return {labels: value for (other, labels), value in self.items() if other == name}

    def counted(self, name: str) -> dict[Labels, float]:
        """Return all samples of one name that are not zero, by labels."""
        return {labels: value for labels, value in self.of(name).items() if value}

    def sum(self, name: str, **labels: str) -> float:
        """Return the sum of all samples of one name that have at least these labels."""
        wanted = labels.items()
        return sum(value for found, value in self.of(name).items() if wanted <= dict(found).items())

    def names(self, prefix: str) -> set[str]:
        return {name for name, _ in self if name.startswith(prefix)}


def parse(exposition: str) -> Samples:
    """Return every sample of a text or OpenMetrics exposition; none may come twice."""
    read = openmetrics if exposition.endswith("# EOF\n") else text
    found = Samples()
    for family in read(exposition):
        for sample in family.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            assert key not in found, f"twice: {key}"
            found[key] = sample.value
    return found


def samples_of(tables: Iterable[Table], created: bool = False) -> Samples:
    """Return the samples of these tables in a scrape. created: with `_created`."""
    if created:
        return parse(newer.render(list(tables), {}, created=True).decode())
    return parse(rendering.render(list(tables), {}).decode())
