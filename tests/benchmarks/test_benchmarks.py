# SPDX-License-Identifier: Apache-2.0
"""The report of the benchmarks: figures, ratios, and contenders that failed."""

import random
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyperf
import pytest

from benchmarks import report, rounds, summary, worker
from benchmarks.contender import SLOW, Contender, Effort, Group, Timer, Unit
from benchmarks.groups import GROUPS


@contextmanager
def idle() -> Iterator[Timer]:
    yield lambda loops: loops * 1e-9


def group(*keys: str, together: Any = None) -> Group:
    contenders = tuple(Contender(k, k, idle) for k in keys)
    return Group("g", "A thing", "A note.", "one", contenders, together=together)


def result(*runs: tuple[float, ...]) -> pyperf.Benchmark:
    metadata = {"name": "g", "unit": "second", "loops": 1}
    return pyperf.Benchmark(
        [pyperf.Run(values, metadata=metadata, collect_metadata=False) for values in runs]
    )


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
        (0.0042, "share", "0.42 %"),
        (1.0, "share", "100 %"),
        (worker.NOTHING, "share", "0.00 %"),
    ],
)
def test_amount(value: float, unit: Unit, shown: str) -> None:
    assert report.amount(value, unit) == shown


def test_a_table_has_ratios_and_the_distance_to_the_floor() -> None:
    results = {
        "floor": result((2e-9,)),
        "one": result((4e-9, 5e-9, 6e-9)),
        "other": result((5e-8,)),
    }
    lines = list(report.table(summary.part(group("floor", "one", "other"), results, {})))
    assert lines[0].endswith("| above the floor | ratio | times the floor |")
    assert "| floor | 2.00 ns | 2.00 ns - 2.00 ns | 2.00 ns |  | 0.40 | 1.00 |" in lines
    assert "| one | 5.00 ns | 4.00 ns - 6.00 ns | 4.00 ns | 3.00 ns | 1.00 | 2.50 |" in lines
    assert "| other | 50.0 ns | 50.0 ns - 50.0 ns | 50.0 ns | 48.0 ns | 10.00 | 25.00 |" in lines


def test_a_group_says_which_of_its_contenders_is_the_floor() -> None:
    found = Group("g", "", "", "one", group("floor", "clocks", "one").contenders, floor="clocks")
    results = {"floor": result((1.0,)), "clocks": result((2.0,)), "one": result((3.0,))}
    lines = list(report.table(summary.part(found, results, {})))
    assert lines[-1].endswith("| 1.00 s | 1.00 | 1.50 |")


def test_a_failure_is_in_the_table_with_its_cause() -> None:
    failures = {"other": "g/other: RuntimeError: no broker"}
    found = summary.part(group("one", "other"), {"one": result((4e-9,))}, failures)
    lines = list(report.section(found))
    assert "| other | failed |  |  |  |" in lines
    assert "Failed: g/other: RuntimeError: no broker" in lines


def test_what_cannot_run_here_is_left_out_in_one_line() -> None:
    lines = list(report.section(summary.part(group("one"), {}, {}, "no broker is installed")))
    assert lines == ["## A thing", "", "Left out: no broker is installed.", ""]


def test_a_summary_is_read_as_it_was_written(tmp_path: Path) -> None:
    results = {
        "one": result((3e-9, 4e-9), (2e-9, 5e-9)),
        "other": result((4e-9, 5e-9), (6e-9, 7e-9)),
    }
    part = summary.part(
        group("one", "other", "gone", together=nullcontext), results, {"gone": "why"}
    )
    whole = summary.Summary("now", "here", True, (part,))
    summary.write(whole, tmp_path / "s.json")
    assert summary.read(tmp_path / "s.json") == whole


def test_what_is_no_summary_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"measured": 3}')
    with pytest.raises(ValueError, match=r"s\.json: Expected `str`, got `int` - at `\$.measured`"):
        summary.read(tmp_path / "s.json")


def noisy(more: float, seed: int) -> pyperf.Benchmark:
    """Make the values of six processes, each slow in its own way, on a machine that slows down
    and recovers."""
    draw = random.Random(seed)
    return result(
        *(
            tuple(1.0 + run / 10 + turn / 50 + more + draw.gauss(0, 0.01) for turn in range(40))
            for run in range(6)
        )
    )


@pytest.mark.parametrize("seed", range(0, 12, 2))
def test_the_interval_of_a_difference_holds_it(seed: int) -> None:
    found = summary.difference(noisy(0.0, seed), noisy(0.05, seed + 1))
    assert 0.04 < found.low < found.median < found.high < 0.06


@pytest.mark.slow
def test_the_interval_of_no_difference_holds_zero_nearly_always() -> None:
    found = [summary.difference(noisy(0, seed), noisy(0, seed + 1)) for seed in range(0, 40, 2)]
    assert sum(one.low <= 0 <= one.high for one in found) >= 16


def test_processes_that_disagree_make_an_interval_wide() -> None:
    """Check processes that say -1, 0 and 1, with any number of values each."""
    one = result(*((5.0,) * 100 for _ in range(3)))
    other = result(*((5.0 + more,) * 100 for more in (-1.0, 0.0, 1.0)))
    assert summary.difference(one, other) == summary.Difference(0.0, -1.0, 1.0, 1.0)


def test_contenders_measured_together_take_turns() -> None:
    """Check that there are as many of each, and that none is always before the other."""
    taken: list[str] = []

    def timer(key: str) -> Timer:
        def one(loops: int) -> float:
            taken.append(key)
            return len(taken)

        return one

    timers = {"a": timer("a"), "b": timer("b")}
    found = worker.in_turns(timers, 3, Effort(loops=50))
    assert [len(values) for values in found.values()] == [3, 3]
    turns = list(zip(taken[::2], taken[1::2], strict=True))
    assert len(turns) == 150
    assert set(turns) == {("a", "b"), ("b", "a")}


def test_a_quick_look_is_shorter() -> None:
    for effort in (Effort(), SLOW):
        quick = effort.quick()
        assert 1 <= quick.rounds < effort.rounds
        assert quick.values <= effort.values
        assert quick.loops == effort.loops


def test_a_group_goes_on_without_those_who_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(
        group: Group, contender: Contender, effort: Effort, loops: int
    ) -> list[pyperf.Benchmark]:
        if contender.key == "bad":
            raise rounds.ContenderFailed("g/bad: it is")
        return [worker.benchmark(group, contender.key, [1.0, 2.0])]

    monkeypatch.setattr(rounds, "measure", measure)
    results, failures = rounds.run(group("one", "bad"), Effort(rounds=3), lambda words: None)
    assert failures == {"bad": "g/bad: it is"}
    assert results["one"].get_values() == (1.0, 2.0) * 3


def test_a_stage_that_gives_way_is_said() -> None:
    @contextmanager
    def broken() -> Iterator[None]:
        raise RuntimeError("no port is free")
        yield

    found = Group("g", "", "", "one", group("one").contenders, around=broken)
    results, failures = rounds.run(found, Effort(), lambda words: None)
    assert results == {}
    assert failures == {"g": "g: RuntimeError: no port is free"}


def test_a_process_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "PATIENCE_S", 0.2)
    status, said = rounds.ran(["sleep", "600"])
    assert status == 1
    assert said == "TimeoutError: not done after 0 s"


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
    effort = Effort(rounds=1, values=2, warmups=1, value_s=0.001)
    found = GROUPS["import-memory"]
    (measured,) = rounds.measure(found, found["json"], effort, loops=0)
    assert measured.get_unit() == "byte"
    assert min(measured.get_values()) > 0


def test_a_contender_that_cannot_run_says_so() -> None:
    missing = Contender("no-such-key", "nobody", idle)
    with pytest.raises(rounds.ContenderFailed, match=r"^inc/no-such-key: "):
        rounds.measure(GROUPS["inc"], missing, Effort().quick(), loops=0)


def test_a_contender_that_lacks_something_is_left_out() -> None:
    absent = Contender("other", "other", idle, lambda: "it is not installed")
    made = replace(group("one"), contenders=(*group("one").contenders, absent))
    assert [contender.key for contender in made.present()] == ["one"]
    assert [row.key for row in summary.part(made, {}, {}).rows] == ["one"]
    assert made["other"] is absent
