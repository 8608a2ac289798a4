# SPDX-License-Identifier: Apache-2.0
"""The page of units lists every metric, with the files that it is read from."""

from __future__ import annotations

import re

from shmetrics.units import _files, measures
from shmetrics.units.families import DEVICE_FAMILIES, FAMILIES

from .snippets import ROOT

NONE = "—"


def families_of(file: measures.File) -> list[str]:
    """Return the families that are read from a file."""
    if file.values:
        return [value.family for value in file.values]
    read_bytes, written_bytes, reads, writes = DEVICE_FAMILIES
    if file.form == _files.BLKIO_BYTES:
        return [read_bytes, written_bytes]
    return [reads, writes] if file.form == _files.BLKIO_COUNTS else list(DEVICE_FAMILIES)


def source_of(family: str, files: tuple[measures.File, ...]) -> str:
    names = [f"`{file.name}`" for file in files if family in families_of(file)]
    return ", ".join(names) or NONE


def test_the_table_is_what_is_read() -> None:
    page = (ROOT / "docs/units.md").read_text()
    wanted = []
    for family in FAMILIES:
        name = family.name + ("_total" if family.is_counter else "")
        labels = f"{{{','.join(family.labels)}}}" if family.labels else ""
        v2, v1 = source_of(family.name, measures._V2), source_of(family.name, measures._V1)
        wanted.append(f"| `{name}{labels}` | {family.help} | {v2} | {v1} |")
    assert re.findall(r"^\| `container_.*$", page, re.MULTILINE) == wanted
