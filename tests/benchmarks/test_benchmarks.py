# SPDX-License-Identifier: Apache-2.0
"""That the benchmarks say what they measured: figures, ratios, and who failed."""

from collections.abc import Iterator
from contextlib import contextmanager

import pyperf
import pytest

from benchmarks import report, rounds
from benchmarks.contender import Contender, Group, Timer
from benchmarks.groups import GROUPS


@contextmanager
def idle() -> Iterator[Timer]:
    yield lambda loops: loops * 1e-9


def group(*keys: str) -> Group:
    return Group("g", "A thing", "A note.", "one", tuple(Contender(k, k, idle) for k in keys))


def result(*values: float) -> pyperf.Benchmark:
    metadata = {"name": "g", "unit": "second", "loops": 1}
    return pyperf.Benchmark([pyperf.Run(values, metadata=metadata, collect_metadata=False)])


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (16.2e-9, "second", "16.2 ns"),
        (1.04e-9, "second", "1.04 ns"),
        (237.4e-6, "second", "237 µs"),
        (2.5, "second", "2.50 s"),
        (-3.1e-9, "second", "-3.10 ns"),
        (2.75 * 1024**2, "byte", "2.75 MiB"),
        (856.0 * 1024, "byte", "856 KiB"),
        (0.0, "byte", "0.00 B"),
    ],
)
def test_amount(value: float, unit: str, shown: str) -> None:
    assert report.amount(value, unit) == shown


def test_a_table_has_ratios_and_what_is_above_the_floor() -> None:
    results = {"floor": result(2e-9), "one": result(4e-9, 5e-9, 6e-9), "other": result(50e-9)}
    lines = list(report.table(group("floor", "one", "other"), results, {}))
    assert "| floor | 2.00 ns | 2.00 ns - 2.00 ns | 2.00 ns |  | 0.40 |" in lines
    assert "| one | 5.00 ns | 4.00 ns - 6.00 ns | 4.00 ns | 3.00 ns | 1.00 |" in lines
    assert "| other | 50.0 ns | 50.0 ns - 50.0 ns | 50.0 ns | 48.0 ns | 10.00 |" in lines


def test_a_failure_is_in_the_table_with_its_cause() -> None:
    failures = {"other": "g/other: RuntimeError: no broker"}
    lines = list(report.table(group("one", "other"), {"one": result(4e-9)}, failures))
    assert "| other | failed |  |  |  |" in lines
    assert "Failed: g/other: RuntimeError: no broker" in lines


def test_the_complaint_is_the_contenders_own() -> None:
    stderr = (
        "Traceback (most recent call last):\n  ...\n"
        "RuntimeError: the collector did not become ready\n"
        "Traceback (most recent call last):\n  ...\n"
        "RuntimeError: python failed with exit code 1\n"
    )
    assert rounds.complaint(stderr) == "RuntimeError: the collector did not become ready"
    assert rounds.complaint("Killed\n") == "Killed"
    assert rounds.complaint("") == "no output"


def test_every_group_compares_with_one_of_its_own() -> None:
    for key, found in GROUPS.items():
        assert found.key == key
        keys = [contender.key for contender in found.contenders]
        assert found.one in keys
        assert len(set(keys)) == len(keys)


def test_a_contender_is_measured_in_a_process_of_its_own() -> None:
    effort = rounds.Effort(rounds=1, values=2, warmups=1, value_s=0.001)
    found = GROUPS["import-memory"]
    measured = rounds.measure(found, found["json"], effort, loops=0)
    assert measured.get_unit() == "byte"
    assert min(measured.get_values()) > 0


def test_a_contender_that_cannot_run_says_so() -> None:
    missing = Contender("no-such-key", "nobody", idle)
    with pytest.raises(rounds.ContenderFailed, match=r"^inc/no-such-key: "):
        rounds.measure(GROUPS["inc"], missing, rounds.QUICK, loops=0)
