# SPDX-License-Identifier: Apache-2.0
"""A service's configuration, and what the collector knows of the traces that came of it."""

from __future__ import annotations

import json
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # eventlet warns of itself when it is imported
    import oslo_messaging  # noqa: F401

from oslo_config import cfg
from osprofiler import _utils, notifier, profiler

from shmetrics.hooks.tracing import switches
from tests.hooks.osprofiler.conftest import shm
from tests.nodes.node import Node, node

__all__ = ["node", "shm"]

KEY = "a key of this service"
TRACED = {"enabled": True, "hmac_keys": f"older, {KEY}", "connection_string": "shm://"}

Configured: TypeAlias = Callable[..., Any]


@pytest.fixture
def configured(tmp_path: Path) -> Iterator[Configured]:
    """Yield `configured(**profiler)`, which makes a configuration with these options in
    `[profiler]`. All that is switched on with it is switched off in the end."""

    def configured(**profiler: object) -> Any:
        path = tmp_path / "service.conf"
        path.write_text("\n".join(["[profiler]", *(f"{k} = {v}" for k, v in profiler.items()), ""]))
        cfg.CONF([], project="cloud", default_config_files=[str(path)])
        return cfg.CONF

    yield configured
    switches.teardown()
    assert notifier.get() is notifier._noop_notifier
    assert profiler.get() is None
    cfg.CONF.reset()


def new_id() -> str:
    return str(uuid.uuid4())


def signed(key: str = KEY, **said: object) -> dict[str, str]:
    """Return the headers of a request, as a client of OSProfiler's signs them."""
    info, signature = _utils.signed_pack(said, key)  # type: ignore[arg-type]
    return {"X-Trace-Info": info.decode(), "X-Trace-HMAC": str(signature)}


def spans(node: Node, base_id: str) -> list[dict[str, Any]]:
    """Return the spans of a trace that the collector has, each before those below it."""
    try:
        found: list[dict[str, Any]] = json.loads(node.get(f"/api/v1/traces/{base_id}"))["spans"]
    except OSError:
        return []
    return found


def names(found: list[dict[str, Any]]) -> list[str]:
    return [span["name"] for span in found]


def refused(node: Node) -> dict[tuple[str, str], float]:
    """Return the number of refusals, by source and reason."""
    found = node.samples().counted("osprofiler_source_refused_total")
    return {(dict(labels)["source"], dict(labels)["reason"]): n for labels, n in found.items()}
