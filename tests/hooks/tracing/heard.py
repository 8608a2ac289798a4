# SPDX-License-Identifier: Apache-2.0
"""The payloads for OSProfiler's notifier, and the spans that the collector makes of them."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from osprofiler import notifier, profiler

from shmetrics.hooks.osprofiler import installation
from tests.nodes.node import Node
from tests.nodes.samples import Labels

KEY = "SECRET_KEY"


class Span(NamedTuple):
    """A span with its start and its stop, as OSProfiler was told them."""

    name: str
    id: str
    parent: str
    base: str
    start_info: dict[str, Any]
    stop_info: dict[str, Any] | None  # None: it has not ended

    @property
    def error(self) -> str | None:
        return (self.stop_info or {}).get("etype")


class Heard(list[dict[str, Any]]):
    """All notifications, in their order."""

    def spans(self, name: str = "") -> list[Span]:
        """Return the spans of this name, or all, as they began. A stop is of a start, and
        comes once."""
        starts: dict[str, dict[str, Any]] = {}
        stops: dict[str, dict[str, Any]] = {}
        for each in self:
            of, _, what = each["name"].rpartition("-")
            same = (of, each["base_id"], each["parent_id"])
            if what == "start":
                assert each["trace_id"] not in starts
                starts[each["trace_id"]] = each | {"same": same}
            else:
                assert starts[each["trace_id"]]["same"] == same
                assert each["trace_id"] not in stops
                stops[each["trace_id"]] = each
        return [
            Span(
                each["same"][0],
                id,
                each["parent_id"],
                each["base_id"],
                each["info"],
                stops[id]["info"] if id in stops else None,
            )
            for id, each in starts.items()
            if name in ("", each["same"][0])
        ]

    def names(self) -> list[str]:
        return [each["name"] for each in self]


@pytest.fixture(params=[False, True], ids=["osprofiler", "compiled"])
def compiled(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Install the compiled profiler, or keep OSProfiler's own; yield whether it is compiled."""
    if request.param:
        assert installation.install()
    yield request.param
    profiler.clean()
    installation.uninstall()


@pytest.fixture
def heard(compiled: bool) -> Iterator[Heard]:
    """Yield the payloads from now on; a trace is active in this thread."""
    heard = Heard()
    notifier.set(heard.append)
    profiler.init(KEY)
    yield heard
    gc.collect()  # what a test has left open ends here, and is not heard by the next
    profiler.clean()
    notifier.set(notifier._noop_notifier)


def stack() -> list[str]:
    """Return OSProfiler's stack of this thread."""
    return [str(id) for id in profiler.get()._trace_stack]  # type: ignore[union-attr]


def kept(node: Node, base_id: str) -> list[dict[str, Any]]:
    """Return the spans of a trace that the collector has, each before those below it."""
    found: list[dict[str, Any]] = json.loads(node.get(f"/api/v1/traces/{base_id}"))["spans"]
    return found


def counted(node: Node, name: str, *labels: str) -> dict[tuple[str, ...], float]:
    """Return the samples of this name that are not zero, by the values of these labels."""
    found: dict[Labels, float] = node.samples().counted(name)
    return {tuple(dict(of)[label] for label in labels): value for of, value in found.items()}


def bytes_of(node: Node) -> bytes:
    """Return the bytes of all files in which the collector keeps traces."""
    paths = [*node.runtime_dir.glob("traces.db*")]
    assert paths
    return b"".join(path.read_bytes() for path in paths)
