# SPDX-License-Identifier: Apache-2.0
"""Observed counters over processes: totals that are kept elsewhere, as the kernel's are.

They are state, as gauges are: they stand in the lanes of living processes and nowhere else, and go
with their process. What is shown is the sum over the processes that have the same labels.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from shmetrics.store.family import Family


class ObservedTotal(NamedTuple):
    """The observed total of one process.

    Attributes:
        family: its family of the node.
        values: its label values.
        total: the total.
        created: the Unix time of the start of its generation; NaN if nobody has said.
    """

    family: Family
    values: tuple[str, ...]
    total: float
    created: float


def sum_up(
    shapes: Sequence[Family], observed: Mapping[Family, Iterable[ObservedTotal]]
) -> tuple[tuple[str, ...], dict[tuple[str, ...], tuple[float, float]]]:
    """Return the sums over processes of all shapes of one name.

    A sum began with the latest of its generations, as each new one is a reset of the sum. That is
    not known if it is not of one of them: then the others may have counted for longer.

    Args:
        shapes: the families, the newest first.
        observed: the totals of living processes, by family.

    Returns:
        The label names of all shapes, and total and start by label values; "" is no label.
    """
    of_shapes = [shape.definition.label_names for shape in shapes]
    names = tuple(dict.fromkeys(name for of_shape in of_shapes for name in of_shape))
    sums: dict[tuple[str, ...], tuple[float, float]] = {}
    for shape, of_shape in zip(shapes, of_shapes, strict=True):
        for _, values, total, created in observed.get(shape, ()):
            if of_shape != names:
                labels = dict(zip(of_shape, values, strict=True))
                values = tuple([labels.get(name, "") for name in names])
            before = sums.get(values)
            sums[values] = (total, created) if before is None else _sum(before, (total, created))
    return names, sums


def _sum(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    """Add up two totals, each with its start. The sum stops at the largest finite number."""
    is_known = not (math.isnan(one[1]) or math.isnan(other[1]))
    created = max(one[1], other[1]) if is_known else math.nan
    return min(one[0] + other[0], sys.float_info.max), created
