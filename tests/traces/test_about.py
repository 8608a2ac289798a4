# SPDX-License-Identifier: Apache-2.0
"""A span is described in a few words, whatever its info is, and never with what it was given."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmetrics.traces.about import MOST_CHARACTERS, about, idle_seconds

SECRET = "a-very-secret-value"
GET = {"method": "GET", "path": "/v2/queues", "scheme": "http", "query": SECRET}


@pytest.mark.parametrize(
    ("start", "stop", "said"),
    [
        ({"request": GET}, {"response": {"status_code": 404}}, "GET /v2/queues 404"),
        ({"request": GET}, {}, "GET /v2/queues"),
        (
            {"requests": GET | {"hostname": "keystone", "port": 5000}},
            {"requests": {"status_code": 201}},
            "GET keystone/v2/queues 201",
        ),
        (
            {"rpc": {"call_type": "cast", "topic": "compute", "server": "n1", "method": "build"}},
            {},
            "cast build to compute.n1",
        ),
        ({"rpc": {"topic": "compute", "method": "build", "args": SECRET}}, {}, "build to compute"),
        (
            {"notification": {"event_type": "instance.create", "topic": "notifications"}},
            {},
            "instance.create to notifications",
        ),
        (
            {"db": {"statement": f"SELECT a,\n  '{SECRET}' FROM b", "params": [SECRET]}},
            {},
            "SELECT a, '?' FROM b",
        ),
        ({"db": {"statement": f"SELECT '{SECRET}"}}, {}, "SELECT '?'"),
        ({}, {"db": {"outcome": "commit"}}, "commit"),
        ({"redis": {"command": "SET", "arguments": [SECRET]}}, {}, "SET"),
        ({"redis": {"command": "PIPELINE", "count": 3, "commands": []}}, {}, "PIPELINE of 3"),
        (
            {
                "mongodb": {
                    "command": "find",
                    "database": "a",
                    "collection": "b",
                    "statement": SECRET,
                }
            },
            {},
            "find a.b",
        ),
        ({"function": {"name": "nova.Manager.build", "args": SECRET}}, {}, "nova.Manager.build"),
        ({"host": "h"}, {"etype": "ValueError", "message": SECRET}, ""),
    ],
)
def test_each_kind_of_span(start: dict[str, Any], stop: dict[str, Any], said: str) -> None:
    assert about(start, stop) == said


KEYS = st.sampled_from(
    [
        *("request", "requests", "rpc", "db", "redis", "mongodb", "function", "response"),
        *("method", "path", "topic", "server", "statement", "outcome", "count", "command"),
        *("status_code", "idle_seconds", "name"),
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=200),
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
    max_leaves=8,
)


@given(st.dictionaries(KEYS, VALUES), st.dictionaries(KEYS, VALUES))
def test_whatever_a_process_has_written(start: dict[str, Any], stop: dict[str, Any]) -> None:
    said = about(start, stop)
    assert len(said) <= MOST_CHARACTERS
    assert "\n" not in said
    idle = idle_seconds(start)
    assert idle is None or idle > 0


def test_a_status_is_left_however_long_the_path_is() -> None:
    said = about({"request": GET | {"path": "/x" * 500}}, {"response": {"status_code": 500}})
    assert len(said) == MOST_CHARACTERS
    assert said.endswith("… 500")
