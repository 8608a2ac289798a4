# SPDX-License-Identifier: Apache-2.0
"""Promise: a manifest says which metrics there are, or one clear line says what is wrong."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from shmetrics.probes import manifest
from shmetrics.probes.gear_files import OwnFiles
from shmetrics.probes.manifest import BadManifest, Metric

NAMES = st.text(
    st.characters(categories=["L", "N"], exclude_characters="\x85"), min_size=1, max_size=9
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "display_name": NAMES,
        "graph_type": NAMES,
        "type": st.sampled_from(["counter", "gauge"]),
        "unit": NAMES,
        "help": NAMES,
    },
)


def parse(text: str) -> dict[str, Metric] | None:
    return manifest.parse(text.encode(), "m.yml")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Name: php\nMetrics:\n- enabled\n", {}),
        ("Metrics: [enabled, a.b, c]\n", {"a.b": Metric("a.b"), "c": Metric("c")}),
        ("Metrics: []\n", {}),
        ("Metrics: {}\n", {}),
        ("Metrics:\n", None),
        ("Metrics: null\n", None),
        ("Name: php\n", None),
        ("Metrics:\n  a.b:\n", {"a.b": Metric("a.b")}),
        (
            "Metrics:\n  a:\n    display_name: Requests\n    graph_type: line\n    type: counter\n"
            "    unit: requests\n    help: All of them\n    colour: blue\n",
            {"a": Metric("a", "Requests", "line", "counter", "requests", "All of them")},
        ),
    ],
)
def test_both_forms_are_understood(text: str, found: dict[str, Metric] | None) -> None:
    assert parse(text) == found


@given(st.lists(NAMES, unique=True))
def test_a_list_names_metrics(names: list[str]) -> None:
    text = yaml.safe_dump({"Name": "x", "Metrics": names})
    expected = {name: Metric(name) for name in names if name != "enabled"}
    assert parse(text) == expected


@given(st.dictionaries(NAMES, FIELDS))
def test_a_mapping_says_more_of_each(said: dict[str, dict[str, str]]) -> None:
    found = parse(yaml.safe_dump({"Metrics": said}, allow_unicode=True))
    assert found == {name: Metric(name, **more) for name, more in said.items()}


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_anything_else_is_one_line(text: bytes) -> None:
    try:
        manifest.parse(b"Metrics: " + text, "m.yml")
    except BadManifest as error:
        assert str(error).startswith("m.yml: ")
        assert str(error).isprintable()


BOMB = "a: &a [x, x]\n" + "".join(
    f"{name}: &{name} [*{before}, *{before}, *{before}, *{before}, *{before}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("Metrics: [", "m.yml: line 1: this is not YAML: "),
        ("- a\n", "m.yml: this is not a table of keys and values"),
        ("", "m.yml: this file is empty"),
        ("Metrics: a\n", "m.yml: Metrics: this has to be a list or a mapping of metrics"),
        ("Metrics: true\n", "m.yml: Metrics: this has to be a list or a mapping of metrics"),
        ("Metrics: [1]\n", "m.yml: Metrics: 1 is no name of a metric; "),
        ('Metrics: ["a\\nb"]\n', "m.yml: Metrics: 'a\\\\nb' is no name of a metric; "),
        ("Metrics: ['']\n", "m.yml: Metrics: '' is no name of a metric; "),
        ("Metrics: {1: x}\n", "m.yml: Metrics: 1 is no name of a metric; "),
        ("Metrics: {a: x}\n", "m.yml: Metrics.a: this has to be a mapping, or null"),
        ("Metrics: {a: {unit: 3}}\n", "m.yml: Metrics.a.unit: 3 is no printable text of at most"),
        (
            "Metrics: {a: {type: histogram}}\n",
            "m.yml: Metrics.a.type: 'histogram' is neither counter nor gauge",
        ),
        (f"Metrics: [{'x' * 201}]\n", "m.yml: Metrics: 'xxxxxx"),
        (f"Metrics: {[*range(1001)]}\n", "m.yml: Metrics: 1001 metrics; at"),
        (
            BOMB,
            "m.yml: line 1: this is not YAML: an alias uses this value again; write it out",
        ),
        ("a: " + "[" * 5000, "m.yml: this is nested too deeply"),
        ("a: &a [*a]\n", "m.yml: line 1: this is not YAML: "),
        ("a: !!python/object/apply:os.system [x]\n", "m.yml: line 1: this is not YAML: could not"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text: str, error: str) -> None:
    with pytest.raises(BadManifest) as caught:
        parse(text)
    assert str(caught.value).startswith(error.replace("\\\\n", "\\n"))
    assert str(caught.value).isprintable()


def test_a_manifest_is_read_within_bounds(tmp_path: Path) -> None:
    path = tmp_path / "php" / "metadata" / "manifest.yml"
    path.parent.mkdir(parents=True)

    def read() -> Any:
        return manifest.read(OwnFiles(str(tmp_path), os.geteuid()), "php")

    def problem() -> str:
        with pytest.raises(BadManifest) as caught:
            read()
        return str(caught.value).removeprefix(f"{path}: ")

    assert problem() == "No such file or directory"
    path.write_text("Metrics: [a]\n")
    assert read() == {"a": Metric("a")}
    path.write_bytes(b"#" * 300_000)
    assert problem() == "this is larger than 256 KiB"
    path.unlink()
    path.symlink_to("/etc/passwd")  # which a gear may not be able to read
    assert problem() == "a link, or no directory, is on the way"
    path.unlink()
    os.mkfifo(path)
    assert problem() == "this is not a file"
