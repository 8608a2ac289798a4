# SPDX-License-Identifier: Apache-2.0
"""Lines become series of their unit: so many, of one name each, until the unit is gone."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from shmetrics.lines.line import Line, Metric, name_of, parse
from shmetrics.lines.owner import Owner
from shmetrics.lines.recorder import INFO, Bounds, Described, Recorded, Recorder
from tests.nodes.loopback import Loopback

WEB = Owner("web.service", "systemd")
DB = Owner("db.service", "systemd")

runs = itertools.count()


def line(text: str) -> Line:
    found = parse(text.encode())
    assert found is not None
    return found


def reasons(recorded: Recorded) -> list[str]:
    return [refused.reason for refused in recorded.refused]


def test_a_metric_is_a_gauge_of_its_unit(loopback: Loopback, name: str) -> None:
    recorder = Recorder(["cart", "zone"])
    mock = Owner("5f", "gear", {"cart": "mock"})
    recorder.record(WEB, line(f"{name}.count=5"))
    recorder.record(WEB, line(f"{name}.count=7"))
    recorder.record(mock, line(f"type=metric cart=mock other=x {name}.count=1 {name}-max=2.5"))
    samples = loopback.samples()
    of_web = {"unit": "web.service", "kind": "systemd", "cart": "", "zone": ""}
    of_mock = {"unit": "5f", "kind": "gear", "cart": "mock", "zone": ""}
    assert samples.value(f"{name}_count", **of_web) == 7
    assert samples.value(f"{name}_count", **of_mock) == 1
    assert samples.value(f"{name}_max", **of_mock) == 2.5


def test_a_manifest_says_what_a_metric_is(loopback: Loopback, name: str) -> None:
    recorder = Recorder()
    manifest = {
        f"{name}.used": Described("counter", "bytes", "What is used", "Used", "area"),
        f"{name}_free": Described(unit="bytes"),
    }
    recorder.record(WEB, line(f"{name}.used=5 {name}.free=6"), manifest)
    samples = loopback.samples()
    assert samples.value(f"{name}_used_bytes_total", unit="web.service", kind="systemd") == 5
    assert samples.value(f"{name}_free_bytes", unit="web.service", kind="systemd") == 6
    shown = {"metric": f"{name}_used", "display_name": "Used", "graph_type": "area"}
    assert samples.value(INFO, unit="web.service", kind="systemd", **shown) == 1


def test_a_counter_that_falls_is_of_a_program_that_began_anew(
    loopback: Loopback, name: str
) -> None:
    recorder = Recorder()
    manifest = {name: Described("counter")}
    for text in ("5", "9", "2", "-1"):
        recorded = recorder.record(WEB, line(f"{name}={text}"), manifest)
    assert reasons(recorded) == ["bad_value"]
    assert loopback.samples().value(f"{name}_total", unit="web.service", kind="systemd") == 2


def test_one_unit_cannot_say_what_a_name_of_another_is(loopback: Loopback, name: str) -> None:
    recorder = Recorder()
    recorder.record(WEB, line(f"{name}=1"))
    recorded = recorder.record(DB, line(f"{name}=1 {name}.b=2"), {name: Described("counter")})
    assert reasons(recorded) == ["two_types"]
    assert [metric.key for metric in recorded.line.metrics] == [f"{name}.b"]
    assert f"{name} is a gauge in '', and not a counter in ''" in str(recorded.refused[0])


def test_two_keys_of_a_unit_are_not_one_series(loopback: Loopback, name: str) -> None:
    recorder = Recorder()
    recorder.record(WEB, line(f"{name}.b=1"))
    recorded = recorder.record(WEB, line(f"{name}_b=2"))
    assert reasons(recorded) == ["two_names_one"]
    assert f"web.service: {name}.b and {name}_b are one name" in str(recorded.refused[0])
    assert not recorder.record(DB, line(f"{name}_b=3")).refused  # of another unit it may be
    assert set(loopback.samples().of(f"{name}_b").values()) == {1, 3}
    recorder.forget(*WEB[:2])
    assert not recorder.record(WEB, line(f"{name}_b=2")).refused


def test_a_unit_that_is_gone_takes_its_series_along(loopback: Loopback, name: str) -> None:
    recorder = Recorder(["zone"])
    recorder.record(WEB, line(f"type=metric {name}=1 zone=a"), {name: Described(display_name="N")})
    recorder.record(WEB, line(f"type=metric {name}=1 zone=b"))
    recorder.record(DB, line(f"{name}=1"))
    assert len(loopback.samples().of(name)) == 3
    recorder.forget("web.service", "systemd")
    recorder.forget("never.there", "systemd")
    (left,) = loopback.samples().of(name)
    assert ("unit", "db.service") in left
    assert f"metric={name}" not in str(loopback.samples().of(INFO))
    recorder.record(WEB, line(f"{name}=4"))
    assert loopback.samples().value(name, unit="web.service", kind="systemd", zone="") == 4


def test_what_a_run_does_not_print_again_leaves(loopback: Loopback, name: str) -> None:
    """Check that neither other scripts, nor what is pushed, nor other units leave with it."""
    recorder = Recorder(["zone"])
    described = {f"{name}.b": Described(display_name="B")}
    recorder.record(WEB, line(f"type=metric {name}.a=1 {name}.b=1 zone=x"), described, "one")
    recorder.record(WEB, line(f"{name}.c=1"), script="two")
    recorder.record(WEB, line(f"{name}.d=1"))
    recorder.record(DB, line(f"{name}.b=1"), script="one")
    for text in (f"{name}.a=2", f"type=metric {name}.a=3 zone=x"):
        recorder.end_run("web.service", "systemd", "one")
        recorder.record(WEB, line(text), script="one")
    recorder.end_run("web.service", "systemd", "one")
    samples = loopback.samples()
    of_web = {"unit": "web.service", "kind": "systemd"}
    assert list(samples.of(f"{name}_a").values()) == [3]
    assert samples.value(f"{name}_a", zone="x", **of_web) == 3
    assert samples.value(f"{name}_b", zone="", unit="db.service", kind="systemd") == 1
    assert len(samples.of(f"{name}_b")) == 1
    assert f"metric={name}_b" not in str(samples.of(INFO))
    assert samples.value(f"{name}_c", zone="", **of_web) == 1
    assert samples.value(f"{name}_d", zone="", **of_web) == 1
    assert not recorder.record(WEB, line(f"{name}_b=2")).refused  # its name is free again
    recorder.forget("web.service", "systemd", "two")
    assert loopback.samples().of(f"{name}_c") == {}
    recorder.end_run("never.there", "systemd", "one")


def test_a_counter_that_comes_back_goes_on(loopback: Loopback, name: str) -> None:
    recorder = Recorder()
    for text in ("5", "", "7"):
        if text:
            recorder.record(WEB, line(f"{name}={text}"), {name: Described("counter")}, "one")
        recorder.end_run("web.service", "systemd", "one")
    assert loopback.samples().value(f"{name}_total", unit="web.service", kind="systemd") == 7


def test_what_nobody_prints_for_too_long_leaves(loopback: Loopback, name: str) -> None:
    now = [100.0]
    recorder = Recorder(stale_seconds=60, monotonic=lambda: now[0])
    recorder.record(WEB, line(f"{name}.a=1 {name}.b=1"))
    recorder.record(DB, line(f"{name}.a=1"), script="one")
    now[0] += 50
    recorder.record(WEB, line(f"{name}.a=2"))
    recorder.expire()
    assert len(loopback.samples().of(f"{name}_a")) == 2
    now[0] += 20
    recorder.expire()
    assert list(loopback.samples().of(f"{name}_a").values()) == [2]
    assert loopback.samples().of(f"{name}_b") == {}
    now[0] += 60
    recorder.expire()
    assert loopback.samples().of(f"{name}_a") == {}


def test_a_million_names_are_as_many_as_one_unit_may_have(loopback: Loopback, name: str) -> None:
    """Check with a hundredth of them: each is refused for the same reason."""
    recorder = Recorder(bounds=Bounds(names_per_unit=20, series_per_unit=30))
    refused = sum(
        bool(
            recorder.record(WEB, Line((Metric(f"{name}_{n}", f"{name}_{n}", "1", 1),), {})).refused
        )
        for n in range(10_000)
    )
    assert refused == 10_000 - 20
    recorder.forget(*WEB[:2])  # and it does not come back for more
    assert reasons(recorder.record(WEB, line(f"{name}.last=1"))) == ["too_many"]
    assert not recorder.record(DB, line(f"{name}.last=1")).refused


metrics = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from(["x", "y.z", "y_z", "v"]), st.integers(0, 3)),
    max_size=20,
)


@settings(max_examples=60)
@given(metrics, st.integers(1, 4), st.integers(1, 3))
def test_no_bound_is_exceeded_and_the_last_value_is_kept(
    said: list[tuple[str, str, int]], series_per_unit: int, names: int
) -> None:
    recorder = Recorder(bounds=Bounds(names, names, series_per_unit))
    run = f"run{next(runs)}"
    kept: dict[str, dict[str, tuple[str, float]]] = {"a": {}, "b": {}}
    known: set[str] = set()
    for unit, key, value in said:
        key = f"{run}.{key}"
        name = name_of(key)
        fits = (
            kept[unit].get(name, (key, 0))[0] == key
            and (name in kept[unit] or len(kept[unit]) < series_per_unit)
            and (name in known or len(known) < names)
        )
        recorded = recorder.record(Owner(unit, "k"), line(f"{key}={value}"))
        assert bool(recorded.refused) is not fits
        if fits:
            kept[unit][name] = key, value
            known.add(name)
