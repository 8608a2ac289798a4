# SPDX-License-Identifier: Apache-2.0
"""Traces, read with OSProfiler's own drivers, as trees that can be compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from oslo_config import cfg
from osprofiler import opts
from osprofiler.drivers import base

import shmetrics.hooks.osprofiler.driver  # noqa: F401 - now OSProfiler finds it

__all__ = ["Tree", "compare", "tree_of"]


@dataclass(frozen=True, order=True)
class Tree:
    """A span and those below it. what: the function or method that it is about, if it says so."""

    name: str
    what: str
    children: tuple[Tree, ...]

    def spans(self) -> Iterator[Tree]:
        """Yield this span and all below it."""
        yield self
        for child in self.children:
            yield from child.spans()

    def names(self) -> Counter[str]:
        """Return how many spans there are of each name, below this one."""
        return Counter(span.name for child in self.children for span in child.spans())

    def parents(self, name: str) -> Counter[str]:
        """Return how many spans of a name are below spans of which other names."""
        return Counter(
            span.name for span in self.spans() for child in span.children if child.name == name
        )

    def edges(self) -> set[tuple[str, str, str, str]]:
        """Return which spans are below which, without counts."""
        return {
            (span.name, span.what, child.name, child.what)
            for span in self.spans()
            for child in span.children
        }

    def __str__(self) -> str:
        lines = [f"{self.name} {self.what}".rstrip()]
        lines += [f"  {line}" for child in self.children for line in str(child).splitlines()]
        return "\n".join(lines)


def compare(theirs: Mapping[str, Tree], ours: Mapping[str, Tree], exactly: bool = True) -> str:
    """Compare the traces of two runs of the same requests.

    Args:
        theirs: the traces of one run, by the request.
        ours: those of the other.
        exactly: also the numbers of spans; False for requests that ask until something is done.

    Returns:
        How many spans there are in each run, and how they compare.
    """
    for request, tree in ours.items():
        assert tree.edges() == theirs[request].edges(), request
        assert not exactly or str(tree) == str(theirs[request]), request
    n = [sum(tree.names().total() for tree in run.values()) for run in (theirs, ours)]
    return f"{n[0]} and {n[1]}, {'equal trees' if exactly else 'the same below the same'}"


def tree_of(connection_string: str, base_id: str) -> Tree:
    """Return a trace's tree. Children are sorted, so that equal traces are equal."""
    conf = cfg.ConfigOpts()
    opts.set_defaults(conf)
    report = base.get_driver(connection_string, conf=conf).get_report(base_id)
    return Tree("trace", "", tuple(sorted(map(_tree, report["children"]))))


def _tree(node: dict[str, Any]) -> Tree:
    info = node["info"]
    start = info.get(f"meta.raw_payload.{info['name']}-start", {}).get("info", {})
    return Tree(info["name"], _what(start), tuple(sorted(map(_tree, node["children"]))))


def _what(info: dict[str, Any]) -> str:
    """Return what a span is about; nothing of it may differ between two equal requests."""
    if "function" in info:
        return str(info["function"]["name"])
    if "request" in info:
        return str(info["request"].get("method", ""))
    if "db" in info:
        return str(info["db"].get("statement", "")).partition(" ")[0]
    return ""
