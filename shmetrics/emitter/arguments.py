# SPDX-License-Identifier: Apache-2.0
"""The arguments of a definition as texts, names and bounds.

Nothing is raised: what is wrong becomes what the collector refuses, with a reason.
"""

from __future__ import annotations

import math
from collections.abc import Iterable


def full_name(name: str, namespace: str, subsystem: str, unit: str) -> str:
    """Join the parts of a name as prometheus_client does, without a counter's `_total`."""
    joined = "_".join(filter(None, (*texts_of((namespace, subsystem)), name)))
    if unit and not joined.endswith("_" + unit):
        joined += "_" + unit
    return joined


def text_of(value: object) -> str:
    """Return a value as text; "" if it has none, which the collector refuses with a reason."""
    try:
        return str.__str__(str(value))  # and no class of texts that are looked up in their own way
    except Exception:
        return ""


def texts_of(values: Iterable[object]) -> tuple[str, ...]:
    """Return each value as text; one empty text if *values* cannot be iterated."""
    try:
        return tuple(map(text_of, values))
    except Exception:
        return ("",)


def name_of(value: object) -> str:
    """Return the name of a metric or label; "" if it is no text, which the collector refuses."""
    return text_of(value) if isinstance(value, str) else ""


def names_of(values: Iterable[object]) -> tuple[str, ...]:
    """Return each value as a name; one empty name if *values* cannot be iterated."""
    try:
        return tuple(map(name_of, values))
    except Exception:
        return ("",)


def finite_bounds(buckets: Iterable[float | str]) -> tuple[float, ...]:
    """Return the bounds without infinity, which every histogram has anyway.

    A bound that is no number becomes NaN, which the collector refuses with a reason.
    """
    try:
        bounds = tuple(map(float, buckets))
    except Exception:
        bounds = (math.nan,)
    return tuple([bound for bound in bounds if bound != math.inf])
