# SPDX-License-Identifier: Apache-2.0
"""The protection of every compiled module against overruns, by linker and compiler."""

import subprocess
import sysconfig
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.nodes.node import ROOT

# What _FORTIFY_SOURCE replaces wherever it is used, whatever is known of sizes.
ALWAYS_CHECKED = {
    *("printf", "vprintf", "fprintf", "vfprintf", "sprintf", "vsprintf", "snprintf", "vsnprintf"),
    "longjmp",
}
MODULES = [
    path.with_suffix(sysconfig.get_config_var("EXT_SUFFIX"))
    for path in sorted((ROOT / "shmetrics").rglob("*.pyx"))
]


class Object(NamedTuple):
    """A shared object, as its own headers have it."""

    flags: set[str]
    segments: dict[str, str]  # their permissions, by type
    imported: set[str]

    @classmethod
    def read(cls, path: Path) -> "Object":
        def readelf(what: str) -> list[list[str]]:
            done = subprocess.run(
                ["readelf", "--wide", what, path], capture_output=True, text=True, check=True
            )
            return [line.split() for line in done.stdout.splitlines()]

        dynamic = readelf("--dynamic")
        headers = readelf("--program-headers")
        symbols = readelf("--dyn-syms")
        return cls(
            {word for line in dynamic if "FLAGS" in "".join(line[:2]) for word in line[2:]},
            {line[0]: "".join(line[6:-1]) for line in headers if len(line) > 7},
            {line[7].partition("@")[0] for line in symbols if len(line) > 7 and line[6] == "UND"},
        )

    def lacks(self) -> set[str]:
        """Return the kinds of protection that are missing."""
        found = {
            "immediate binding": bool(self.flags & {"BIND_NOW", "NOW"}),
            "read-only relocations": "GNU_RELRO" in self.segments,
            "a stack without code": self.segments.get("GNU_STACK") == "RW",
            "stack protector": "__stack_chk_fail" in self.imported,
            "checked functions": not self.imported & ALWAYS_CHECKED,
        }
        return {what for what, there in found.items() if not there}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name.partition(".")[0])
def test_a_compiled_module_lacks_nothing(path: Path) -> None:
    assert not Object.read(path).lacks()


def test_functions_are_checked_in_most_of_them() -> None:
    """Check most objects: one that calls none of these functions shows nothing."""
    there = {f"__{function}_chk" for function in ALWAYS_CHECKED}
    checked = [path for path in MODULES if Object.read(path).imported & there]
    assert len(checked) > len(MODULES) // 2


def test_what_is_built_without_all_that_is_seen(tmp_path: Path) -> None:
    """Check an object without any protection."""
    source = tmp_path / "bare.c"
    source.write_text(
        "#include <stdio.h>\nint f(char *a) { char b[64]; return snprintf(b, 64, a, b); }\n"
    )
    compiler = sysconfig.get_config_var("CC").split()
    flags = ["-shared", "-fPIC", "-O2", "-w", "-U_FORTIFY_SOURCE", "-fno-stack-protector"]
    flags += ["-Wl,-z,lazy", "-Wl,-z,norelro", "-Wl,-z,execstack"]
    subprocess.run([*compiler, *flags, source, "-o", tmp_path / "bare.so"], check=True)
    assert Object.read(tmp_path / "bare.so").lacks() == {
        *("immediate binding", "read-only relocations", "a stack without code"),
        *("stack protector", "checked functions"),
    }
