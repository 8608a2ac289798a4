# SPDX-License-Identifier: Apache-2.0
"""The methods of the node, a row each, summed up from the tables of calls.

A family of calls has a series per process, timeout, version and so on; a row has the sum of those
with the same topic and method. A notification's method is its event_type, that of a command or a
statement its operation.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from shmetrics.oslo_families import (
    NOTIFICATION_CLIENT,
    NOTIFICATION_SERVER,
    RPC_CLIENT,
    RPC_SERVER,
)
from shmetrics.sample_names import CALL_ENDS, CALL_EXCEPTIONS, CALL_SECONDS, CALL_STARTS
from shmetrics.tables.table import Series, Table

_METHOD_LABELS = ("method", "event_type", "operation")
_SHOWN_ELSEWHERE = frozenset({"process", "topic", "server"})


class Method(msgspec.Struct):
    """Totals of one method since the store began.

    Attributes:
        family: the name of its family, such as `oslo_messaging_rpc_client`.
        seconds: The sum of all durations.
        bounds: Upper bounds of the buckets of durations, in seconds, but for the last bucket.
        buckets: Counts, not cumulated.
        in_flight: The number of open calls.
        oldest_seconds: The age of the oldest open call.
        overdue: The number of open calls that are older than their own timeout.
        trace: The newest trace known of the slowest bucket that has one.
    """

    family: str
    topic: str
    method: str
    started: int = 0
    ended: int = 0
    failed: int = 0
    seconds: float = 0.0
    bounds: list[float] = []
    buckets: list[int] = []
    in_flight: int = 0
    oldest_seconds: float = 0.0
    overdue: int = 0
    trace: str | None = None


def family_title(family: str) -> str:
    """Return a family's name for people: `rpc client`, `notification server`."""
    return family.removeprefix("oslo_messaging_").replace("_", " ")


def rank(family: str) -> int:
    """Return the place of a family among others in a list for people: RPC, others, notifications.

    A notification that comes often is no reason to look for a call further down.
    """
    if family in (RPC_CLIENT.name, RPC_SERVER.name):
        return 0
    return 2 if family in (NOTIFICATION_CLIENT.name, NOTIFICATION_SERVER.name) else 1


Key = tuple[str, str]


def summarize(tables: Iterable[Table], calls: Iterable[dict[str, Any]]) -> list[Method]:
    """Make one row per family, topic and method.

    Args:
        tables: All tables; those of calls are found by their names.
        calls: The open calls, as the collector lists them.
    """
    by_name = {table.name: table for table in tables}
    rows: dict[tuple[str, Key], Method] = {}
    for name, starts in by_name.items():
        if name.endswith(CALL_STARTS):
            family = name.removesuffix(CALL_STARTS)
            found = _family(family, starts, by_name)
            rows.update({(family, key): row for key, row in found.items()})
    for call in calls:
        labels = call["labels"]
        key = (labels.get("topic", ""), _method(labels))
        row = rows.get((str(call["family"]), key))
        if row is not None:
            row.in_flight += 1
            row.oldest_seconds = max(row.oldest_seconds, call["age_seconds"])
            row.overdue += call["is_overdue"]
    return list(rows.values())


def _family(family: str, starts: Table, by_name: dict[str, Table]) -> dict[Key, Method]:
    keys, places = _groups(starts.series, len(starts))
    started = _total(starts.values, places, len(keys))
    rows = {key: Method(family, *key, started=int(n)) for key, n in zip(keys, started, strict=True)}
    for suffix, field in ((CALL_ENDS, "ended"), (CALL_EXCEPTIONS, "failed")):
        table = by_name.get(family + suffix)
        if table is not None:
            keys, places = _groups(table.series, len(table))
            for key, n in zip(keys, _total(table.values, places, len(keys)), strict=True):
                setattr(rows.setdefault(key, Method(family, *key)), field, int(n))
    durations = by_name.get(family + CALL_SECONDS)
    if durations is not None:
        keys, places = _groups(durations.series, len(durations))
        buckets = _total(durations.buckets, places, len(keys))
        seconds = _total(durations.sums, places, len(keys))
        for at, key in enumerate(keys):
            row = rows.setdefault(key, Method(family, *key))
            row.seconds = float(seconds[at])
            row.bounds = list(durations.bounds)
            row.buckets = buckets[at].tolist()
        for at, trace in _slowest_traces(durations.exemplars, places).items():
            rows[keys[at]].trace = trace
    return rows


def _slowest_traces(
    exemplars: np.ndarray[Any, Any], places: np.ndarray[Any, Any]
) -> dict[int, str]:
    """Return the newest trace of the slowest bucket, by the place of its method."""
    order = np.lexsort((exemplars["stamp_ns"], exemplars["bucket"]))
    return {
        int(places[row]): str(uuid.UUID(bytes=bytes(trace)))
        for row, trace in exemplars[["row", "trace"]][order].tolist()
    }


def _groups(series: Series, n: int) -> tuple[list[Key], np.ndarray[Any, Any]]:
    """Return the keys of the first n series, each once, and for each series its key's place."""
    names = series.names
    topic = names.index("topic") if "topic" in names else None
    method = next((names.index(name) for name in _METHOD_LABELS if name in names), None)
    found: dict[Key, int] = {}
    places = [
        found.setdefault(
            ("" if topic is None else row[topic], "" if method is None else row[method]),
            len(found),
        )
        for row in series.values[:n]
    ]
    return list(found), np.array(places, np.intp)


def _total(
    values: np.ndarray[Any, Any], places: np.ndarray[Any, Any], n: int
) -> np.ndarray[Any, Any]:
    """Add up the rows of values that have the same place; return n rows."""
    sums = np.zeros((n, *values.shape[1:]), values.dtype)
    np.add.at(sums, places, values)
    return sums


def _method(labels: Mapping[str, str]) -> str:
    return next((labels[name] for name in _METHOD_LABELS if name in labels), "")


def work_of(labels: Mapping[str, str]) -> str:
    """Return what a call does: its method, or what else its labels say.

    Calls of a service's own may have any labels. Lists have columns for a few of them; the other
    values tell such calls apart.
    """
    if any(name in labels for name in _METHOD_LABELS):
        return _method(labels)
    others = (value for name, value in labels.items() if name not in _SHOWN_ELSEWHERE)
    return " ".join(filter(None, others))


def quantile(q: float, bounds: Sequence[float], buckets: Sequence[int]) -> float | None:
    """Return the q-quantile of durations, linear within a bucket as in PromQL.

    Args:
        q: Between 0 and 1.
        bounds: Upper bounds of all buckets but the last, in seconds.
        buckets: Counts, not cumulated, one more than bounds.

    Returns:
        Seconds; None without any duration. A value above the last bound is given as that bound.
    """
    total = sum(buckets)
    if not total or not bounds:
        return None
    rank = q * total
    below, low = 0, 0.0
    for bound, count in zip(bounds, buckets, strict=False):
        if count and below + count >= rank:
            return low + (bound - low) * max(rank - below, 0.0) / count
        below, low = below + count, bound
    return bounds[-1]
