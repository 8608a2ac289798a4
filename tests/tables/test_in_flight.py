# SPDX-License-Identifier: Apache-2.0
"""Calls in flight over scrapes, as series come and are hidden, against a twin that starts anew."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from shmetrics import layout
from shmetrics.dictionary import Definition
from shmetrics.lanes.lane import OpenCall
from shmetrics.store.families import Families
from shmetrics.store.histograms import CallFamily
from shmetrics.store.limits import Limits
from shmetrics.store.store import Store
from shmetrics.tables.in_flight import InFlight
from tests.nodes.loopback import MIB

LABELS = ("topic", "method", "timeout")
NOW_NS = 10_000_000_000

#: Age and timeout of an open call.
Open = tuple[int, float]
SHOWN: dict[str, Callable[[list[Open]], float]] = {
    "shmetrics_rpc_in_flight": len,
    "shmetrics_rpc_overdue": lambda calls: sum(age_ns > limit_ns for age_ns, limit_ns in calls),
    "shmetrics_rpc_oldest_in_flight_seconds": lambda calls: (
        max((age_ns for age_ns, _ in calls), default=0) / 1e9
    ),
}
TIMEOUTS_NS = {"2": 2e9, "4.5": 4.5e9, "": math.inf, "-1": math.inf, "__overflow__": math.inf}

calls = st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.sampled_from(list(TIMEOUTS_NS)))
opened = st.tuples(calls, st.integers(0, NOW_NS), st.sampled_from((0, 0, 1, 7000)))
families = st.sampled_from(("a_client", "a_server"))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("come"), families, calls),
        st.tuples(st.just("hide"), families, st.frozensets(st.integers(1, 4))),
        st.tuples(st.just("open"), families, st.lists(opened)),
    ),
    max_size=12,
)


def family_of(found: Families, name: str) -> CallFamily:
    family = found.define(Definition(layout.TYPE_CALLS, name, "Calls", "", "", LABELS, (1.0,)))
    assert isinstance(family, CallFamily)
    return family


def walk(store: Store, steps: list[tuple[str, str, object]]) -> None:
    found = Families(store, Limits(), lambda family: None)
    open_calls: list[OpenCall] = []
    in_flight = InFlight(found, lambda: open_calls, lambda: NOW_NS)
    hidden_and_open: set[tuple[str, ...]] = set()  # until something is hidden anew
    for step, name, what in steps:
        family = family_of(found, name)
        open_calls.clear()
        if step == "come":
            family.row(what)  # type: ignore[arg-type]
        elif step == "hide":
            family.hidden = what  # type: ignore[assignment]
            family.show_all()
            hidden_and_open.clear()
        else:
            for values, start_ns, timeout_ms in what:  # type: ignore[attr-defined]
                family.row(values)
                open_calls.append(OpenCall(family, values, start_ns, 0, timeout_ms))
        shown = in_flight.tables()
        seen: dict[tuple[str, ...], list[Open]] = {kind: [] for kind in hidden_and_open}
        seen |= {
            (each.definition.name[2:], *values[:2]): []
            for each in found
            if isinstance(each, CallFamily)
            for values in each.series.values
        }
        hidden_and_open |= {(name[2:], *call.values[:2]) for call in open_calls} - set(seen)
        for call in open_calls:
            kind = (name[2:], *call.values[:2])
            limit_ns = call.timeout_ms * 1e6 or TIMEOUTS_NS[call.values[2]]
            seen.setdefault(kind, []).append((NOW_NS - call.start_ns, limit_ns))
        assert [table.name for table in shown] == (list(SHOWN) if seen else [])
        for table, value in zip(shown, SHOWN.values(), strict=bool(seen)):
            told = dict(zip(table.series.values, table.values, strict=True))
            assert told == {kind: value(calls) for kind, calls in seen.items()}


@given(steps=steps)
def test_kinds_of_calls_come_and_go_with_what_is_shown(
    steps: list[tuple[str, str, object]],
) -> None:
    with tempfile.TemporaryDirectory(prefix="shm-in-flight-") as folder:
        store = Store(Path(folder) / "store", MIB)
        walk(store, steps)
        store.close()
