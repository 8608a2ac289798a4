# SPDX-License-Identifier: Apache-2.0
"""Texts of others as series: they come, change, begin anew and leave."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from shmetrics import status
from shmetrics.gatherer import samples
from shmetrics.gatherer.samples import Samples
from shmetrics.gatherer.textfiles import TextfileSeries
from shmetrics.probes.prometheus_text import parse
from tests.nodes.loopback import Loopback
from tests.nodes.samples import Samples as Shown

TEXT = """\
# TYPE {name}_jobs_total counter
{name}_jobs_total{{queue="fast"}} 5
{name}_jobs_total{{queue="slow"}} 7
# TYPE {name}_size gauge
{name}_size 2.5
# TYPE {name}_took_seconds histogram
{name}_took_seconds_bucket{{le="1"}} 3
{name}_took_seconds_bucket{{le="+Inf"}} 4
{name}_took_seconds_sum 6
{name}_took_seconds_count 4
"""


class Recording:
    """Samples, and what they refuse."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.refused: Counter[str] = Counter()
        self.samples = Samples(self.count)

    def count(self, reason: str) -> None:
        self.refused[reason] += 1

    def say(self, text: str, source: str = "a", **labels: str) -> None:
        families = parse(text.format(name=self.name).encode())
        self.samples.record(source, families, labels or {"file": source})


def shown(loopback: Loopback, name: str) -> Shown:
    return Shown(
        {key: value for key, value in loopback.samples().items() if key[0].startswith(name)}
    )


def test_a_text_that_nobody_prints_again_leaves(loopback: Loopback, name: str) -> None:
    now = [100.0]
    said = Recording(name)
    said.samples = Samples(said.refused.update, stale_seconds=60, monotonic=lambda: now[0])
    said.say("{name}_old 1\n", "old")
    said.say("{name}_new 1\n", "new")
    now[0] += 50
    said.say("{name}_new 2\n", "new")
    now[0] += 20
    said.samples.expire()
    assert list(shown(loopback, name).values()) == [2]
    now[0] += 60
    said.samples.expire()
    assert shown(loopback, name) == {}


def test_each_sample_keeps_its_name_and_labels(loopback: Loopback, name: str) -> None:
    said = Recording(name)
    said.say(TEXT)
    found = shown(loopback, name)
    assert found.value(f"{name}_jobs_total", queue="fast", file="a") == 5
    assert found.value(f"{name}_size", file="a") == 2.5
    assert found.value(f"{name}_took_seconds_bucket", le="+Inf", file="a") == 4
    assert found.value(f"{name}_took_seconds_sum", file="a") == 6
    assert said.refused == {}


def test_what_a_text_has_no_more_leaves(loopback: Loopback, name: str) -> None:
    said = Recording(name)
    said.say(TEXT)
    said.say('# TYPE {name}_jobs_total counter\n{name}_jobs_total{{queue="fast"}} 6\n')
    found = shown(loopback, name)
    assert dict(found) == {(f"{name}_jobs_total", (("file", "a"), ("queue", "fast"))): 6}
    said.samples.forget("a")
    assert shown(loopback, name) == {}
    assert said.samples.texts() == []


def test_a_counter_that_falls_has_begun_anew(loopback: Loopback, name: str) -> None:
    said = Recording(name)
    for total in (5, 7, 2, 3):
        said.say(f"# TYPE {{name}}_jobs_total counter\n{{name}}_jobs_total {total}\n")
        assert shown(loopback, name).value(f"{name}_jobs_total", file="a") == total


def test_two_texts_with_one_name(loopback: Loopback, name: str) -> None:
    """Check that each may have labels of its own, and others later; an empty one is none."""
    said = Recording(name)
    said.say("{name}_size 1\n", "a", unit="a")
    said.say('{name}_size{{host="x"}} 2\n{name}_size{{disk="y",host=""}} 3\n', "b", unit="b")
    found = shown(loopback, name)
    assert len(found) == 3
    assert found.value(f"{name}_size", unit="a") == 1
    assert found.value(f"{name}_size", unit="b", host="x") == 2
    assert found.value(f"{name}_size", unit="b", disk="y") == 3
    said.say('{name}_size{{host="x"}} 4\n', "a", unit="a")
    said.samples.forget("b")
    assert dict(shown(loopback, name)) == {(f"{name}_size", (("host", "x"), ("unit", "a"))): 4}
    assert said.refused == {}


def test_a_name_has_one_type(
    loopback: Loopback, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    said = Recording(name)
    said.say("# TYPE {name}_jobs gauge\n{name}_jobs 1\n{name}_more_total 1\n", "a")
    counters = "".join(
        f"# TYPE {{name}}_{each} counter\n{{name}}_{each} 2\n"
        for each in ("jobs_total", "more_total")
    )
    for labels in ({}, {"unit": "b"}):
        said.say(counters, "b", **labels)
    assert said.refused == {"type": 4}
    assert f"b: {name}_jobs_total: refused: a counter here is none elsewhere; rename" in caplog.text
    assert sorted(shown(loopback, name).values()) == [1, 1]


def test_a_label_of_ours_is_exported(loopback: Loopback, name: str) -> None:
    said = Recording(name)
    said.say('{name}_size{{unit="theirs"}} 3\n', unit="ours")
    found = shown(loopback, name)
    assert found.value(f"{name}_size", unit="ours", exported_unit="theirs") == 3


def test_names_that_are_not_for_others(name: str, caplog: pytest.LogCaptureFixture) -> None:
    said = Recording(name)
    said.say("container_memory_rss 1\nshmetrics_units 2\n")
    assert said.refused == {"reserved": 2}
    assert "a: container_memory_rss: refused: names of this beginning" in caplog.text


def test_there_are_only_so_many_series(
    loopback: Loopback, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "MOST_SERIES", 3)
    said = Recording(name)
    for _ in range(2):
        said.say("".join(f'{{name}}_size{{{{n="{n}"}}}} {n}\n' for n in range(5)))
    assert len(shown(loopback, name)) == 3
    assert said.refused == {"too_many": 4}
    said.say('{name}_size{{n="9"}} 1\n')  # there is room again
    assert len(shown(loopback, name)) == 1


def test_a_text_that_has_not_changed_is_not_recorded_again(
    loopback: Loopback, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    said = Recording(name)
    said.samples = Samples(said.count, stale_seconds=60, monotonic=lambda: now[0])
    families = parse(f"{name}_size 1\n{name}_size_created 1\n".encode())
    said.samples.record("a", families, {"file": "a"})
    recorded = status()["recorded"]
    for _ in range(3):
        now[0] += 50
        said.samples.record("a", families, {"file": "a"})
        said.samples.expire()
    assert status()["recorded"] == recorded
    assert shown(loopback, name).value(f"{name}_size", file="a") == 1
    monkeypatch.setattr(samples, "MOST_SERIES", 1)
    more = parse(f"{name}_size 2\n{name}_more 3\n".encode())
    for refused in (1, 2):  # it is tried again, for the time when there is room
        said.samples.record("a", more, {"file": "a"})
        assert said.refused == {"too_many": refused}
    monkeypatch.undo()
    said.samples.record("a", more, {"file": "a"})
    assert shown(loopback, name).value(f"{name}_more", file="a") == 3
    said.samples.forget("a")
    assert shown(loopback, name) == {}


def test_text_files_and_their_ages(loopback: Loopback, name: str, tmp_path: Path) -> None:
    said = Recording(name)
    file = tmp_path / "backup.prom"
    file.write_text(f"{name}_size 4\n")
    now = file.stat().st_mtime
    clock = [now + 5.0]
    files = TextfileSeries([str(tmp_path)], 60.0, said.samples, lambda: clock[0])
    files.record({})
    assert shown(loopback, name).value(f"{name}_size", file=str(file)) == 4
    age = "shmetrics_gather_textfile_age_seconds"
    assert loopback.samples().value(age, file=str(file)) == 5
    clock[0] = now + 61.0
    files.record({})
    assert shown(loopback, name) == {}  # stale
    assert loopback.samples().value(age, file=str(file)) == 61
    file.unlink()
    files.record({})
    assert loopback.samples().of(age) == {}
