# SPDX-License-Identifier: Apache-2.0
"""The rules that a metric family's definition has to follow, for emitters in every language.

The collector refuses what breaks one; an emitter in strict mode raises the same.

A name may be any UTF-8 text. A reader that does not understand it gets it in an escaping scheme.
"""

from __future__ import annotations

import itertools
import math
import re
from typing import NamedTuple

from shmetrics import layout
from shmetrics.dictionary import Definition
from shmetrics.escaping import Escaping, metric_name
from shmetrics.sample_names import sample_names

GAUGE_MODES = frozenset(
    live + mode for live in ("", "live") for mode in ("all", "sum", "min", "max", "mostrecent")
)
MAX_BOUNDS = 512
MAX_LABELS = 64
RESERVED_PREFIXES = ("shmetrics_", "process_", "python_")
# What `shmetrics gather` says of itself. It is an emitter as any other, and may be of any user.
GIVEN_PREFIXES = ("shmetrics_units", "shmetrics_unit_", "shmetrics_gather_", "shmetrics_probe_")

_UNIT = re.compile(r"[a-zA-Z0-9_:]*\Z")


# What to do about a refusal, by its reason.
MENDS = {
    "bad_name": "give the metric a name",
    "reserved_name": f"choose a name that begins with none of {', '.join(RESERVED_PREFIXES)}",
    "bad_label_name": "choose other label names",
    "bad_unit": "let the name end with the unit",
    "bad_mode": "choose one of all, sum, min, max and mostrecent, or one with live in front",
    "bad_buckets": f"give at most {MAX_BOUNDS} bounds, each larger than the one before",
    "conflict": "rename one of them; it counts as soon as the name is free",
    "families": "see store.max_families",
    "families_per_uid": "see store.max_families_per_uid",
    "families_per_lane": "see store.max_families_per_lane",
    "store_full": "see store.max_bytes",
    "store_bytes_per_uid": "see store.max_bytes_per_uid",
}


class Refusal(NamedTuple):
    """The refusal of a definition.

    Attributes:
        reason: the reason, which is a label value.
        text: one line for people.
        obstacle: the name that is in the way as long as somebody holds it, or "".
    """

    reason: str
    text: str
    obstacle: str = ""

    @property
    def mend(self) -> str:
        """Return what to do about it, in one line."""
        return MENDS.get(self.reason, "see the collector's log")


def is_reserved(name: str) -> bool:
    """Return whether a name of a family or a sample belongs to the collector in any format."""
    shown = (metric_name(name, each) for each in Escaping)
    return any(
        one.startswith(RESERVED_PREFIXES) and not one.startswith(GIVEN_PREFIXES) for one in shown
    )


def check(definition: Definition) -> Refusal | None:
    """Return a refusal with its reason if a definition cannot be shown, else None."""
    name = repr(definition.name)[1:-1]  # in one line
    refusal = _check_names(definition, name)
    if refusal is not None:
        return refusal
    if not _UNIT.match(definition.unit):
        return Refusal("bad_unit", f"{name}: unit {definition.unit!r} is not [a-zA-Z0-9_:]*")
    if definition.unit and not definition.name.endswith("_" + definition.unit):
        return Refusal("bad_unit", f"{name}: name does not end with unit {definition.unit!r}")
    if definition.type == layout.TYPE_GAUGE and definition.mode not in GAUGE_MODES:
        return Refusal("bad_mode", f"{name}: multiprocess_mode {definition.mode!r} is unknown")
    return _check_bounds(definition, name)


def check_pid(definition: Definition) -> Refusal | None:
    """Return a refusal if a gauge has the label `pid`, and a series per process, else None."""
    if definition.mode.endswith("all") and "pid" in definition.label_names:
        return Refusal("bad_label_name", f"{definition.name}: label pid is the collector's")
    return None


def _check_names(definition: Definition, name: str) -> Refusal | None:
    """Return a refusal if the metric's name or a label's cannot be shown, else None.

    Args:
        definition: the definition.
        name: the metric's name in one line.
    """
    labels = definition.label_names
    if not name:
        return Refusal("bad_name", "a metric name is empty")
    for sample in sorted(sample_names(definition)):
        if is_reserved(sample):
            return Refusal("reserved_name", f"metric name {sample!r} belongs to the collector")
    for label in labels:
        if not label or label.startswith("__"):
            return Refusal("bad_label_name", f"{name}: label name {label!r} is not allowed")
    forbidden = {
        layout.TYPE_HISTOGRAM: {"le"},
        layout.TYPE_CALLS: {"le", "exception"},
    }.get(definition.type, set())
    if forbidden & set(labels):
        return Refusal("bad_label_name", f"{name}: label {', '.join(forbidden)} is reserved")
    if len(set(labels)) != len(labels) or len(labels) > MAX_LABELS:
        return Refusal("bad_label_name", f"{name}: a label name twice, or more than {MAX_LABELS}")
    return None


def _check_bounds(definition: Definition, name: str) -> Refusal | None:
    """Return a refusal if the bounds are too many, not finite or not rising, else None."""
    bounds = definition.bounds
    has_buckets = definition.type in (layout.TYPE_HISTOGRAM, layout.TYPE_CALLS)
    if (bounds and not has_buckets) or len(bounds) > MAX_BOUNDS:
        return Refusal("bad_buckets", f"{name}: {len(bounds)} bounds are too many")
    rising = all(low < high for low, high in itertools.pairwise(bounds))
    if not rising or not all(map(math.isfinite, bounds)):
        return Refusal("bad_buckets", f"{name}: bounds are not finite and ascending")
    return None
