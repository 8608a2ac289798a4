# SPDX-License-Identifier: Apache-2.0
"""The page of the node: its state, methods, open calls, units, lanes and destinations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shmetrics.figures import number, seconds
from shmetrics.tables.methods import Method, rank
from shmetrics.tables.units import UnitMetric, UnitRow
from shmetrics.version import __version__
from shmetrics.web import security_policy, templates

MOST_FAILED = 20  # failed calls on the page

HEADERS = security_policy.headers(script=templates.SCRIPT)


def render(
    constant_labels: Mapping[str, str],
    ready: tuple[bool, str],
    methods: Sequence[Method],
    lanes: Sequence[Mapping[str, Any]],
    calls: Sequence[Mapping[str, Any]],
    failed_calls: Sequence[Mapping[str, Any]] = (),
    has_traces: bool = False,
    units: Sequence[UnitRow] = (),
    unit_metrics: Sequence[UnitMetric] = (),
    destinations: Sequence[Mapping[str, Any]] = (),
) -> bytes:
    """Make the whole page.

    Args:
        constant_labels: the labels of all series; their values name the node.
        ready: whether the collector is ready, and its state in words.
        methods: the methods, in any order; the page shows RPC first, and those with the most calls.
        lanes: the lanes, as the JSON API lists them.
        calls: the open calls, the oldest first, as the JSON API lists them.
        failed_calls: the calls that failed lately, the latest first, as the JSON API lists them.
        has_traces: whether there are pages of traces to link to.
        units: the units that are gathered, in any order; without one the page has no table of them.
        unit_metrics: the metrics that manifests of units describe, by unit.
        destinations: where spans and metrics are forwarded to, as the JSON API lists them.
    """
    node = ", ".join(constant_labels.values())
    is_ready, state = ready
    return templates.render(
        "node.html",
        title=node,
        node=node,
        version=__version__,
        is_ready=is_ready,
        state=state,
        has_traces=has_traces,
        figures=_figures(methods, lanes, calls),
        methods=sorted(methods, key=lambda method: (rank(method.family), -method.started)),
        calls=calls,
        failed_calls=failed_calls[:MOST_FAILED],
        units=sorted(units, key=lambda unit: -(unit.cpu_seconds or 0.0)),
        unit_metrics=unit_metrics,
        most=_most(unit_metrics),
        destinations=destinations,
        lanes=lanes,
        problems=[
            {**lane, **problem}
            for lane in lanes
            for problem in (*lane["refusals"], *lane["overflows"])
        ],
    )


def _most(unit_metrics: Sequence[UnitMetric]) -> dict[str, float]:
    """Return the largest value of each metric in any unit, for bars beside one another."""
    most: dict[str, float] = {}
    for one in unit_metrics:
        most[one.metric] = max(one.value, most.get(one.metric, one.value))
    return most


def _figures(
    methods: Sequence[Method],
    lanes: Sequence[Mapping[str, Any]],
    calls: Sequence[Mapping[str, Any]],
) -> dict[str, str]:
    """Return the totals at the top of the page, by name."""
    return {
        "lanes": number(len(lanes)),
        "events": number(sum(lane["events"] for lane in lanes)),
        "calls ended": number(sum(method.ended for method in methods)),
        "open now": number(len(calls)),
        "overdue": number(sum(call["is_overdue"] for call in calls)),
        "oldest": seconds(max((call["age_seconds"] for call in calls), default=None)),
        "dropped": number(sum(lane["dropped"] for lane in lanes)),
    }
