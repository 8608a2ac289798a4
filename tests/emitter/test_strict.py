# SPDX-License-Identifier: Apache-2.0
"""SHMETRICS_STRICT=1 raises what prometheus_client raises; without it nothing is raised."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest

from tests.nodes.node import ROOT

pytestmark = pytest.mark.slow

# What services write, right and wrong. `m` is shmetrics or prometheus_client; names are new.
CASES = {
    "a counter": 'm.Counter(name, "Help").inc()',
    "a counter by much": 'm.Counter(name, "Help").inc(2.5)',
    "a negative counter": 'm.Counter(name, "Help").inc(-1)',
    "a negative child": 'm.Counter(name, "Help", ["a"]).labels("x").inc(-1)',
    "a text in a counter": 'm.Counter(name, "Help").inc("many")',
    "nothing in a counter": 'm.Counter(name, "Help").inc(None)',
    "a gauge": 'm.Gauge(name, "Help").set(-1)',
    "a text in a gauge": 'm.Gauge(name, "Help").set("many")',
    "a number as text in a gauge": 'm.Gauge(name, "Help").set("3")',
    "nothing in a gauge": 'm.Gauge(name, "Help").set(None)',
    "a text added to a gauge": 'm.Gauge(name, "Help").inc("many")',
    "a text taken from a gauge": 'm.Gauge(name, "Help").dec("many")',
    "adding to the most recent": ('m.Gauge(name, "Help", multiprocess_mode="mostrecent").inc(1)'),
    "taking from the most recent": (
        'm.Gauge(name, "Help", multiprocess_mode="livemostrecent").dec(1)'
    ),
    "the most recent": 'm.Gauge(name, "Help", multiprocess_mode="mostrecent").set(1)',
    "a wrong mode": 'm.Gauge(name, "Help", multiprocess_mode="newest")',
    "a histogram": 'm.Histogram(name, "Help").observe(-1)',
    "not a number in a histogram": 'm.Histogram(name, "Help").observe(float("nan"))',
    "infinity in a histogram": 'm.Histogram(name, "Help").observe(float("inf"))',
    "a text in a histogram": 'm.Histogram(name, "Help").observe("many")',
    "buckets": 'm.Histogram(name, "Help", buckets=[1, 2])',
    "buckets that fall": 'm.Histogram(name, "Help", buckets=[2, 1])',
    "no buckets": 'm.Histogram(name, "Help", buckets=[])',
    "a bucket that is no number": 'm.Histogram(name, "Help", buckets=["many", 1])',
    "label le": 'm.Histogram(name, "Help", ["le"])',
    "label le of a counter": 'm.Counter(name, "Help", ["le"])',
    "a reserved label": 'm.Counter(name, "Help", ["__a"])',
    "a label in UTF-8": 'm.Counter(name, "Help", ["größe"])',
    "no name": 'm.Counter("", "Help")',
    "a name in UTF-8": 'm.Counter(name + "größe", "Help")',
    "a name with spaces": 'm.Counter(name + " x", "Help")',
    "made again otherwise": 'm.Counter(name, "Help"); m.Gauge(name, "Help")',
    "made again with a label": 'm.Counter(name, "Help"); m.Counter(name, "Help", ["a"])',
    "a sample of another": 'm.Counter(name, "Help"); m.Gauge(name + "_total", "Help")',
    "labels": 'm.Counter(name, "Help", ["a", "b"]).labels("x", 1).inc()',
    "labels by name": 'm.Counter(name, "Help", ["a", "b"]).labels(b="x", a=None).inc()',
    "a label too few": 'm.Counter(name, "Help", ["a", "b"]).labels("x")',
    "a label too many": 'm.Counter(name, "Help", ["a", "b"]).labels("x", "y", "z")',
    "a name too few": 'm.Counter(name, "Help", ["a", "b"]).labels(a="x")',
    "another name": 'm.Counter(name, "Help", ["a", "b"]).labels(a="x", c="y")',
    "both ways": 'm.Counter(name, "Help", ["a", "b"]).labels("x", b="y")',
    "a label that is no text": 'm.Counter(name, "Help", ["a"]).labels(Hostile())',
    "labels of none": 'm.Counter(name, "Help").labels()',
    "labels forgotten": 'm.Counter(name, "Help", ["a"]).inc()',
    "labels of a gauge forgotten": 'm.Gauge(name, "Help", ["a"]).set(1)',
    "labels of a histogram forgotten": 'm.Histogram(name, "Help", ["a"]).observe(1)',
    "removed": 'c = m.Counter(name, "Help", ["a"]); c.labels("x"); c.remove("x")',
    "removed twice": 'c = m.Counter(name, "Help", ["a"]); c.remove("x")',
    "removed with a label too many": 'm.Counter(name, "Help", ["a"]).remove("x", "y")',
    "removed without labels": 'm.Counter(name, "Help").remove("x")',
    "removed by an unknown label": 'm.Counter(name, "Help", ["a"]).remove_by_labels({"b": "x"})',
    "cleared": 'm.Counter(name, "Help", ["a"]).clear()',
    "labels in a timer": (
        'h = m.Histogram(name, "Help", ["a"])\nwith h.time() as timer: timer.labels("x")'
    ),
    "labels of a gauge in a timer": (
        'g = m.Gauge(name, "Help", ["a"])\nwith g.time() as timer: timer.labels(a="x")'
    ),
    "a timer without labels": 'h = m.Histogram(name, "Help", ["a"])\nwith h.time(): pass',
    "a timer that never began": 'm.Histogram(name, "Help", ["a"]).time()',
    "a timer with wrong labels": (
        'h = m.Histogram(name, "Help", ["a"])\nwith h.time() as timer: timer.labels("x", "y")'
    ),
    "labels twice in a timer": (
        'h = m.Histogram(name, "Help", ["a"])\n'
        'with h.time() as timer: timer.labels("x"); timer.labels("y")'
    ),
    "labels in the timer of a child": (
        'h = m.Histogram(name, "Help", ["a"])\n'
        'with h.labels("x").time() as timer: timer.labels("y")'
    ),
    "labels in the timer of none": (
        'h = m.Histogram(name, "Help")\nwith h.time() as timer: timer.labels("y")'
    ),
    "a decorator": 'm.Histogram(name, "Help", ["a"]).labels("x").time()(lambda: 1)()',
    "an exemplar": 'm.Counter(name, "Help").inc(1, {"trace_id": "a" * 32})',
    "an exemplar by name": 'm.Counter(name, "Help").inc(exemplar={"trace_id": "a" * 32})',
    "bounds as texts": 'm.Histogram(name, "Help", buckets=["1", "2"])',
    "one bound, infinite": 'm.Histogram(name, "Help", buckets=[float("inf")])',
    "labels in one text": 'm.Counter(name, "Help", "ab").labels("x", "y")',
    "labels by position as a tuple": 'm.Counter(name, "Help", ["a"]).labels(("x",)).inc()',
    "a label with a space": 'm.Counter(name, "Help", ["a b"])',
    "a name that is nothing": "m.Counter(None, 'Help')",
    "no help": 'm.Counter(name, "").inc()',
    "help that is nothing": "m.Counter(name, None).inc()",
    "a unit": 'm.Counter(name, "Help", unit="bytes").inc()',
    "a unit in another place": 'm.Counter(name, "Help", [], "space", "sub", "bytes").inc()',
    "exceptions of a class": (
        'c = m.Counter(name, "Help")\nwith c.count_exceptions(KeyError): pass'
    ),
    "in progress": 'g = m.Gauge(name, "Help")\nwith g.track_inprogress(): pass',
    "in progress without labels": (
        'g = m.Gauge(name, "Help", ["a"])\nwith g.track_inprogress(): pass'
    ),
    "exceptions without labels": (
        'c = m.Counter(name, "Help", ["a"])\nwith c.count_exceptions(): pass'
    ),
    "the time now": 'm.Gauge(name, "Help").set_to_current_time()',
    "the time now without labels": 'm.Gauge(name, "Help", ["a"]).set_to_current_time()',
    "labels of labels": 'm.Counter(name, "Help", ["a"]).labels("x").labels("y")',
    "twice the same": 'm.Counter(name + "again", "Help", ["a"]).labels("x").inc()',
    "removed as a tuple": 'c = m.Counter(name, "Help", ["a"]); c.labels("x"); c.remove(("x",))',
    "a histogram's count": 'm.Histogram(name, "Help"); m.Counter(name + "_count", "Help")',
    "true in a counter": 'm.Counter(name, "Help").inc(True)',
    "much in a counter": 'm.Counter(name, "Help").inc(10**400)',
    "not a number in a counter": 'm.Counter(name, "Help").inc(float("nan"))',
    "default buckets": "m.Histogram.DEFAULT_BUCKETS[0]",
}

# What prometheus_client takes, or refuses as another error: what is raised.
STRICTER = {
    "a bound that is not a number": (
        'm.Histogram(name, "Help", buckets=[float("nan")])',
        "ValueError",
    ),
    "a bound twice": ('m.Histogram(name, "Help", buckets=[1, 1])', "ValueError"),
    "a label twice": ('m.Counter(name, "Help", ["a", "a"])', "ValueError"),
    "a name of the collector's": ('m.Counter("process_" + name, "Help")', "ValueError"),
    "a label of the collector's": ('m.Gauge(name, "Help", ["pid"])', "ValueError"),
    "an empty label": ('m.Counter(name, "Help", [""])', "ValueError"),
    "a label that is a number": ('m.Counter(name, "Help", [1])', "ValueError"),
    "a name that is a number": ('m.Counter(1, "Help")', "ValueError"),
}

# What the service raises itself comes out of every block.
OWN = {
    "in a timer": (
        'h = m.Histogram(name, "Help", ["a"])\nwith h.time() as timer: timer.labels("x"); {}["key"]'
    ),
    "in a timer without labels": 'h = m.Histogram(name, "Help")\nwith h.time(): {}["key"]',
    "counted": 'c = m.Counter(name, "Help")\nwith c.count_exceptions(KeyError): {}["key"]',
}

# Of observed counters, which prometheus_client does not have: what is raised. As of a counter.
OBSERVED = 'c = m.ObservedCounter(name, "Help", ["a"]).labels("x"); '
TOTALS = {
    "a total": ("c.set_total(2.5)", None),
    "no total yet": ("c.set_total(0)", None),
    "a negative total": ("c.set_total(-1)", "ValueError"),
    "a text as total": ('c.set_total("many")', "TypeError"),
    "a number as text": ('c.set_total("3")', "TypeError"),
    "nothing as total": ("c.set_total(None)", "TypeError"),
    "a total that is no number": ('c.set_total(float("nan"))', None),  # is dropped, and logged
    "a total that falls": ("c.set_total(2); c.set_total(1)", None),  # likewise
    "a generation": ("c.new_generation()", None),
    "a generation with a total": ("c.set_total(9); c.new_generation(3)", None),
    "a generation with a negative total": ("c.new_generation(-1)", "ValueError"),
    "a generation with a text": ('c.new_generation("many")', "TypeError"),
    "a generation with nothing": ("c.new_generation(None)", "TypeError"),
    "labels forgotten": ('m.ObservedCounter(name + "2", "Help", ["a"]).set_total(1)', "ValueError"),
    "a label too many": (
        'm.ObservedCounter(name + "3", "Help", ["a"]).labels("x", "y")',
        "ValueError",
    ),
    "made again as a counter": ('m.Counter(name, "Help", ["a"])', "ValueError"),
}

RUN = """
import json, sys
class Hostile:
    def __str__(self):
        raise RuntimeError("str")
m = __import__(sys.argv[1])
found = {}
for number, (what, code) in enumerate(json.load(sys.stdin).items()):
    try:
        exec(code, {"m": m, "name": f"m{number}", "Hostile": Hostile})
        found[what] = None
    except Exception as error:
        builtin = next(each for each in type(error).__mro__ if each.__module__ == "builtins")
        found[what] = builtin.__name__
print(json.dumps(found))
"""


def raised(module: str, cases: dict[str, str] = CASES, **env: str) -> dict[str, str | None]:
    """Runs all cases in a process; what each raises, as the name of a built-in class."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(RUN), module],
        env=os.environ | {"PYTHONPATH": str(ROOT), "SHMETRICS_RUNTIME_DIR": "/nowhere"} | env,
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found: dict[str, str | None] = json.loads(done.stdout)
    return found


def test_strict_mode_raises_what_prometheus_client_raises() -> None:
    assert raised("shmetrics", SHMETRICS_STRICT="1") == raised("prometheus_client")


def test_strict_mode_checks_totals_as_a_counter() -> None:
    cases = {what: OBSERVED + code for what, (code, _) in TOTALS.items()}
    expected = {what: error for what, (_, error) in TOTALS.items()}
    assert raised("shmetrics", cases, SHMETRICS_STRICT="1") == expected
    assert set(raised("shmetrics", cases).values()) == {None}


def test_strict_mode_raises_for_what_the_collector_refuses() -> None:
    cases = {what: code for what, (code, _) in STRICTER.items()}
    expected = {what: error for what, (_, error) in STRICTER.items()}
    assert raised("shmetrics", cases, SHMETRICS_STRICT="1") == expected
    assert set(raised("shmetrics", cases).values()) == {None}


@pytest.mark.parametrize("value", ["", "1"])
def test_what_the_service_raises_is_its_own(value: str) -> None:
    assert set(raised("shmetrics", OWN, SHMETRICS_STRICT=value).values()) == {"KeyError"}


@pytest.mark.parametrize("value", ["", "0", "true"])
def test_nothing_is_raised_otherwise(value: str) -> None:
    assert set(raised("shmetrics", SHMETRICS_STRICT=value).values()) == {None}
