# SPDX-License-Identifier: Apache-2.0
"""The contents of the archives: all files that are needed, and no other."""

import re
from email.parser import Parser
from pathlib import Path

from .conftest import ROOT, Archives

MADE = {"__pycache__", "build", "dist", "results"}
UNIT_FILES = {
    *("shmetrics.service", "shmetrics-gather.service", "shmetrics-spawner.service"),
    *("shmetrics.sysusers", "collector.toml", "gather.toml"),
}
GENERATED = re.compile(r"shmetrics/(?:\w+/)*\w+\.c")
INCLUDE = re.compile(r'^#include "([^"]+)"', re.MULTILINE)
SOURCES = {
    *(".py", ".pyi", ".pyx", ".pxi", ".pxd", ".c", ".h", ".md", ".toml", ".txt"),
    *(".html", ".css", ".js"),
}


def sources(*folders: str) -> set[str]:
    """Return the source files of the checkout, without those that a build or a tool has made."""
    found = set()
    for folder in folders:
        for path in (ROOT / folder).rglob("*"):
            name = path.relative_to(ROOT)
            if path.suffix in SOURCES and not MADE & set(name.parts):
                found.add(name.as_posix())
    return {path for path in found if not GENERATED.fullmatch(path)}


def test_the_source_archive_has_every_source(archives: Archives) -> None:
    wanted = sources("shmetrics", "csrc", "tests", "benchmarks", "docs")
    wanted |= {"LICENSE", "README.md", "CHANGELOG.md", "Makefile", "pyproject.toml", "setup.py"}
    wanted |= {"requirements-dev.txt", "MANIFEST.in", ".ci/run", ".ci/pythons"}
    wanted |= {"CONTRIBUTING.md", "SECURITY.md", "mkdocs.yml", ".pre-commit-config.yaml"}
    wanted |= {"packaging/site/repository_files.py"}
    wanted |= {f"packaging/systemd/{name}" for name in UNIT_FILES}
    assert not wanted - archives.sdist


def test_the_source_archive_has_nothing_that_was_built(archives: Archives) -> None:
    built = {name for name in archives.sdist if name.endswith((".so", ".pyc"))}
    assert not built
    assert not any(map(GENERATED.fullmatch, archives.sdist))


def test_the_wheel_has_the_package_and_only_it(archives: Archives) -> None:
    names = archives.wheel_names()
    modules = {name for name in sources("shmetrics") if not name.startswith("shmetrics/include/")}
    assert not modules - names
    assert {name.partition("/")[0] for name in names} == {
        *("shmetrics", "shmetrics-0.1.0.dist-info"),
        *("_shmetrics_start.py", "shmetrics_start.pth"),
    }
    assert not {name for name in names if name.endswith((".c", ".pyc"))}
    compiled = {name.partition(".")[0] for name in names if name.endswith(".so")}
    root = ROOT
    bindings = (root / "shmetrics").rglob("*.pyx")
    assert compiled == {str(binding.relative_to(root).with_suffix("")) for binding in bindings}


def with_what_it_includes(header: Path) -> set[Path]:
    """Return a header and all that it includes by a path, directly or not."""
    found, left = set[Path](), [header]
    while left:
        path = left.pop().resolve()
        if path not in found:
            found.add(path)
            left += [path.parent / name for name in INCLUDE.findall(path.read_text())]
    return found


def test_the_wheel_has_the_headers_of_a_c_program(archives: Archives) -> None:
    """Check for the headers that it names, those that these include, and no other of the core."""
    place = "shmetrics/include/shmetrics/"
    named = {"ask.h", "emit.h", "payload.h", "wait.h"}
    needed = {path for name in named for path in with_what_it_includes(ROOT / place / name)}
    csrc = {str(path.relative_to(ROOT / "csrc")) for path in needed if "csrc" in path.parts}
    assert {"lane/layout.h", "lane/ring.h", "emit/kick.h"} <= csrc
    found = {name.removeprefix(place) for name in archives.wheel_names() if name.startswith(place)}
    assert found == csrc | named


def test_the_emitter_requires_nothing(archives: Archives) -> None:
    metadata = Parser().parsestr(archives.wheel_text(".dist-info/METADATA"))
    required = metadata.get_all("Requires-Dist") or []
    assert required  # of the extras
    assert not [line for line in required if "extra ==" not in line]
    assert metadata["License-Expression"] == "Apache-2.0"
    assert {"collector", "oslo"} <= set(metadata.get_all("Provides-Extra") or [])
