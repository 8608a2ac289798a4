# SPDX-License-Identifier: Apache-2.0
"""Promise: files for node_exporter are taken as they stand, and stale ones leave."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric

from shmetrics.probes import prometheus_text, textfile
from shmetrics.probes.prometheus_text import BadText
from shmetrics.probes.textfile import TextFile, TextFiles

TEXT = """# HELP backup_seconds How long it took.
# TYPE backup_seconds gauge
backup_seconds{disk="a"} 12.5
backup_seconds{disk="b"} NaN
"""


def write(path: Path, text: str, at: float) -> None:
    """Write a file as such programs do: to another name, then renamed."""
    new = path.with_suffix(".new")
    new.write_text(text)
    os.utime(new, (at, at))
    new.rename(path)


def read(files: TextFiles, now: float) -> dict[str, TextFile]:
    found, problems = files.read(now)
    assert problems == []
    return {os.path.basename(file.path): file for file in found}


def test_files_are_read_with_their_age(tmp_path: Path) -> None:
    write(tmp_path / "backup.prom", TEXT, 1000)
    write(tmp_path / "other.txt", TEXT, 1000)
    found = read(TextFiles([str(tmp_path)], 600), 1030)
    assert found.keys() == {"backup.prom"}
    file = found["backup.prom"]
    assert (file.age_seconds, file.problem) == (30, "")
    [family] = file.families
    assert (family.name, family.type, len(family.samples)) == ("backup_seconds", "gauge", 2)


def test_a_stale_file_leaves_and_comes_back(tmp_path: Path) -> None:
    files = TextFiles([str(tmp_path)], 600)
    path = tmp_path / "backup.prom"
    write(path, TEXT, 1000)
    assert read(files, 1600)["backup.prom"].families
    stale = read(files, 1601)["backup.prom"]
    assert (stale.families, stale.age_seconds) == ([], 601)
    assert stale.problem == f"{path}: not written for 601 s"
    write(path, TEXT, 1601)
    assert read(files, 1602)["backup.prom"].families
    path.unlink()
    assert read(files, 1603) == {}


def test_a_file_is_parsed_again_only_if_it_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed = []
    real = prometheus_text.parse

    def parse(text: bytes) -> list[Metric]:
        parsed.append(text)
        return real(text)

    monkeypatch.setattr(prometheus_text, "parse", parse)
    files = TextFiles([str(tmp_path)], 600)
    write(tmp_path / "a.prom", TEXT, 1000)
    for _ in range(3):
        read(files, 1001)
    assert len(parsed) == 1
    write(tmp_path / "a.prom", TEXT.replace("12.5", "13"), 1000)  # in the same moment
    assert read(files, 1001)["a.prom"].families[0].samples[0].value == 13
    assert len(parsed) == 2


def test_one_bad_file_is_a_line_and_the_others_are_read(tmp_path: Path) -> None:
    for name, text in (("a", "a{ 1\n"), ("b", TEXT), ("c", "x y z\n")):
        write(tmp_path / f"{name}.prom", text, 1000)
    (tmp_path / "d.prom").mkdir()
    os.mkfifo(tmp_path / "e.prom")
    (tmp_path / "f.prom").symlink_to("nowhere")
    (tmp_path / "g.prom").write_bytes(b"\xff 1\n")
    found = read(TextFiles([str(tmp_path)], 1e12), 1000)
    assert {name for name, file in found.items() if not file.problem} == {"b.prom"}
    assert found.keys() == {f"{name}.prom" for name in "abcdeg"}
    assert found["a.prom"].problem.startswith(f"{tmp_path}/a.prom: this is not the text format: ")
    assert found["d.prom"].problem == f"{tmp_path}/d.prom: this is a directory, not a file"
    assert found["e.prom"].problem == f"{tmp_path}/e.prom: this is a pipe, not a file"
    assert found["g.prom"].problem == f"{tmp_path}/g.prom: this is not UTF-8"
    assert all(file.problem.isprintable() for file in found.values())


def test_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus_text, "MOST_SAMPLES", 3)
    monkeypatch.setattr(prometheus_text, "MOST_BYTES", 2048)
    monkeypatch.setattr(textfile, "MOST_FILES", 2)
    write(tmp_path / "a.prom", "a 1\nb 1\nc 1\nd 1\n", 1000)
    write(tmp_path / "b.prom", "#" * 2049, 1000)
    write(tmp_path / "c.prom", "", 1000)
    missing = str(tmp_path / "missing")
    found, problems = TextFiles([str(tmp_path), missing], 600).read(1000)
    assert [file.problem for file in found] == [
        f"{tmp_path}/a.prom: more than 3 samples",
        f"{tmp_path}/b.prom: this is larger than 2 KiB",
    ]
    assert problems == [
        f"{tmp_path}: 3 files; 2 of them are read",
        f"{missing}: No such file or directory",
    ]


WORDS = ["a", "{}", '="1"', ",", "\\", "\n", "# HELP", "# TYPE", "gauge", "1e9", "NaN"]
TEXTS = st.lists(st.sampled_from(WORDS)).map(" ".join)


@given(st.binary(max_size=200) | TEXTS.map(str.encode))
def test_any_text_is_families_or_one_line(text: bytes) -> None:
    try:
        prometheus_text.parse(text)
    except BadText as error:
        assert "\n" not in str(error)
