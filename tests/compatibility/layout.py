# SPDX-License-Identifier: Apache-2.0
"""Take the facts of a layout from C headers: every constant, offset, size and type.

    python -m tests.compatibility.layout

writes them into data/layout.json, if the layout's version was raised. Names and types are read
from the header's text; the numbers behind them are the compiler's.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[2]
CSRC: Final = ROOT / "csrc"
SNAPSHOT: Final = Path(__file__).with_name("data") / "layout.json"

#: What processes of different versions share: the lane, and the ledger beside it.
HEADERS: Final = ("layout.h", "ledger.h")
VERSION: Final = "SHM_LAYOUT_VERSION"

_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_CONSTANT = re.compile(r"^#define (?P<name>SHM_\w+) (?P<value>(?!static\b)\S.*)$", re.MULTILINE)
_ENUM = re.compile(r"^enum \w+ \{(?P<body>.*?)^\};", re.MULTILINE | re.DOTALL)
_STRUCT = re.compile(r"^struct (?P<name>\w+) \{(?P<body>.*?)^\};", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"^(?P<type>\w[\w ]*?) (?P<names>\w+(?:\[.*\])?(?:, \w+(?:\[.*\])?)*)$")


class Facts(NamedTuple):
    """A layout: its version, and what is true of it, by name."""

    version: int
    facts: dict[str, str]


def layout_of(headers: list[Path]) -> Facts:
    """Return the layout that these headers describe. Raises what facts_of raises."""
    facts = facts_of(headers)
    return Facts(int(facts.pop(VERSION)), facts)


def facts_of(headers: list[Path], without: Container[str] = ()) -> dict[str, str]:
    """Return the facts of these headers, by name.

    Args:
        headers: Their paths, in the order in which they are included.
        without: Structs that nobody shares.

    Raises:
        ValueError: A line of a struct cannot be read.
        subprocess.CalledProcessError: The headers cannot be compiled.
    """
    printed: list[str] = []
    types: dict[str, str] = {}
    for header in headers:
        text = _COMMENT.sub("", header.read_text())
        printed += [_constant(found["name"], found["value"]) for found in _CONSTANT.finditer(text)]
        for enum in _ENUM.finditer(text):
            entries = (entry.partition("=")[0].strip() for entry in enum["body"].split(","))
            printed += [_number(entry) for entry in entries if entry]
        for struct in _STRUCT.finditer(text):
            name = struct["name"]
            if name in without:
                continue
            printed.append(f'printf("struct {name}\\t%zu bytes\\n", sizeof(struct {name}));')
            for field, type in _fields(struct["body"]):
                types[f"{name}.{field}"] = type
                printed.append(
                    f'printf("{name}.{field}\\tat %zu, %zu bytes\\n", '
                    f"offsetof(struct {name}, {field}), sizeof(((struct {name} *)0)->{field}));"
                )
    includes = "".join(f'#include "{header}"\n' for header in headers)
    source = (
        f"#include <stddef.h>\n#include <stdio.h>\n{includes}\nint main(void)\n{{\n"
        + "\n".join(printed)
        + "\n}\n"
    )
    found = dict(line.split("\t") for line in _output(source).splitlines())
    return {name: f"{fact} {types.get(name, '')}".strip() for name, fact in found.items()}


def headers(names: Sequence[str] = HEADERS) -> list[Path]:
    """Return the headers with these names, wherever they are below csrc/."""
    found = {path.name: path for path in CSRC.rglob("*.h")}
    return [found[name] for name in names]


def read() -> Facts:
    """Return the facts as they were when the layout's version was raised last."""
    return Facts(**json.loads(SNAPSHOT.read_text()))


def complaints(before: Facts, now: Facts) -> list[str]:
    """Return how a layout differs from the one before; [] if it is the same."""
    names = sorted(before.facts.keys() | now.facts.keys())
    found = [
        f"{name}: {before.facts.get(name, 'not there')} -> {now.facts.get(name, 'not there')}"
        for name in names
        if before.facts.get(name) != now.facts.get(name)
    ]
    if before.version != now.version:
        found.append(f"{VERSION}: {before.version} -> {now.version}")
    return found


def main() -> int:
    """Write the facts anew, if the version says that they are another layout's."""
    now = layout_of(headers())
    if SNAPSHOT.exists():
        before = read()
        found = complaints(before, now)
        if found and now.version <= before.version:
            print(*found, f"raise {VERSION} first", sep="\n", file=sys.stderr)
            return 1
    SNAPSHOT.write_text(json.dumps(now._asdict(), indent=1) + "\n")
    return 0


def _constant(name: str, value: str) -> str:
    """Return the C statement that prints a constant."""
    if value.startswith('"'):
        return f'printf("{name}\\t%s\\n", {name});'
    return _number(name)


def _number(name: str) -> str:
    return f'printf("{name}\\t%llu\\n", (unsigned long long)({name}));'


def _fields(body: str) -> list[tuple[str, str]]:
    """Return the fields of a struct's body with their types; those of an inner union as well."""
    found: list[tuple[str, str]] = []
    for statement in re.split(r"[;{}]", body):
        line = " ".join(statement.split())
        if line in ("", "union"):
            continue
        field = _FIELD.match(line)
        if field is None:
            raise ValueError(f"cannot be read: {line}")
        names = (name.partition("[")[0] for name in field["names"].split(", "))
        found += [(name, field["type"]) for name in names]
    return found


def _output(source: str) -> str:
    """Compile a program, run it, and return what it prints."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "facts.c")
        file.write_text(source)
        program = str(file.with_suffix(""))
        command = ["cc", "-std=gnu11", "-Wall", "-Werror", f"-I{CSRC}", "-o", program, str(file)]
        subprocess.run(command, check=True)
        return subprocess.run([program], check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    raise SystemExit(main())
