# SPDX-License-Identifier: Apache-2.0
"""A slow, obvious twin of a node: dictionaries of processes, of their series and of totals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Values = tuple[str, ...]


class Shape(NamedTuple):
    """A definition as it can change: kind, label names, and bounds or mode."""

    kind: str
    labels: Values
    more: tuple[tuple[str, Any], ...] = ()

    @property
    def mode(self) -> str:
        return str(dict(self.more).get("multiprocess_mode", "all"))


class Key(NamedTuple):
    """A series of the node."""

    name: str
    shape: Shape
    values: Values


@dataclass
class Row:
    """The totals of a series over all processes, and the processes that have it in their lane."""

    n: int = 0
    sum: float = 0.0
    ends: int = 0
    bound: set[int] = field(default_factory=set)


@dataclass
class Process:
    """A living process: what it has made, whether it has a lane, and its gauges."""

    shapes: dict[str, Shape] = field(default_factory=dict)
    children: set[Key] = field(default_factory=set)
    gauges: dict[Key, float] = field(default_factory=dict)
    open: dict[int, Key] = field(default_factory=dict)
    has_lane: bool = False
    attached: dict[str, Shape] = field(default_factory=dict)  # the shapes when it last was


class Twin:
    """The node."""

    def __init__(self) -> None:
        self.processes: dict[int, Process] = {}
        self.rows: dict[Key, Row] = {}
        self.dead_gauges: dict[Key, dict[int, float]] = defaultdict(dict)
        self._next_call = 0

    # ---- what happens -----------------------------------------------------------------------

    def begin(self, pid: int) -> None:
        self.processes[pid] = Process()

    def fork(self, pid: int, child: int) -> None:
        parent = self.processes[pid]
        self.processes[child] = Process(dict(parent.shapes), set(parent.children))

    def define(self, pid: int, name: str, shape: Shape) -> None:
        process = self.processes[pid]
        process.shapes[name] = shape
        if not shape.labels:
            self.child(pid, name, ())

    def child(self, pid: int, name: str, values: Values) -> Key:
        process = self.processes[pid]
        key = Key(name, process.shapes[name], values)
        process.children.add(key)
        if process.has_lane:
            self._declare(pid, key)
        return key

    def _declare(self, pid: int, key: Key) -> None:
        if key.shape.kind == "gauge":
            self.processes[pid].gauges.setdefault(key, 0.0)
        else:
            self.rows.setdefault(key, Row()).bound.add(pid)

    def _touch(self, pid: int, name: str, values: Values) -> Key:
        """A record: with the first one the process has a lane, and all its children there."""
        key = self.child(pid, name, values)
        self.attach(pid)
        return key

    def attach(self, pid: int) -> None:
        process = self.processes[pid]
        if process.has_lane and process.attached == process.shapes:
            return  # each child since then was declared when it was made
        process.has_lane = True
        process.attached = dict(process.shapes)
        for key in process.children:
            if process.shapes[key.name] == key.shape:
                self._declare(pid, key)

    def record(self, pid: int, name: str, values: Values, value: float) -> None:
        key = self._touch(pid, name, values)
        if key.shape.kind == "gauge":
            self.processes[pid].gauges[key] = value
        else:
            self.rows[key].n += 1
            self.rows[key].sum += value

    def start(self, pid: int, name: str, values: Values) -> int:
        key = self._touch(pid, name, values)
        self.rows[key].n += 1
        self._next_call += 1
        self.processes[pid].open[self._next_call] = key
        return self._next_call

    def end(self, pid: int, number: int) -> None:
        self.rows[self.processes[pid].open.pop(number)].ends += 1

    def remove(self, pid: int, key: Key) -> None:
        process = self.processes[pid]
        process.children.discard(key)
        process.gauges.pop(key, None)
        row = self.rows.get(key)
        if row is not None and pid in row.bound:
            row.bound.discard(pid)
            if not row.bound:
                del self.rows[key]

    def die(self, pid: int) -> None:
        process = self.processes.pop(pid)
        for row in self.rows.values():
            row.bound.discard(pid)
        for key, value in process.gauges.items():
            if not key.shape.mode.startswith("live"):
                self.dead_gauges[key][pid] = value

    # ---- what is there ----------------------------------------------------------------------

    def own(self, pid: int, name: str) -> set[Key]:
        """The children of a process that it can still reach through its instrument."""
        process = self.processes[pid]
        return {k for k in process.children if k[:2] == (name, process.shapes.get(name))}

    def samples(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Return the samples that a scrape has to have, without buckets and seconds of calls."""
        found: dict[tuple[str, frozenset[tuple[str, str]]], float] = defaultdict(float)
        for key, row in self.rows.items():
            labels = frozenset(zip(key.shape.labels, key.values, strict=True))
            for suffix, value in _counts(key.shape.kind, row):
                found[key.name + suffix, labels] += value
        for name, labels, value in self._gauges():
            found[name, labels] = value
        return dict(found)

    def _gauges(self) -> Iterator[tuple[str, frozenset[tuple[str, str]], float]]:
        by_key: dict[Key, dict[int, float]] = defaultdict(dict)
        for key, values in self.dead_gauges.items():
            by_key[key].update(values)
        for pid, process in self.processes.items():
            for key, value in process.gauges.items():
                by_key[key][pid] = value
        for key, values in by_key.items():
            labels = tuple(zip(key.shape.labels, key.values, strict=True))
            if key.shape.mode in ("all", "liveall"):
                for pid, value in values.items():
                    yield key.name, frozenset((*labels, ("pid", str(pid)))), value
            else:
                combine = sum if key.shape.mode.endswith("sum") else max
                yield key.name, frozenset(labels), float(combine(values.values()))


def _counts(kind: str, row: Row) -> list[tuple[str, float]]:
    if kind == "counter":
        return [("_total", row.sum)]
    if kind == "histogram":
        return [("_count", row.n), ("_sum", row.sum)]
    return [
        ("_invocation_start_total", row.n),
        ("_invocation_end_total", row.ends),
        ("_processing_seconds_count", row.ends),
    ]
