# SPDX-License-Identifier: Apache-2.0
"""The marker quick: who gets it, and that it is true."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.nodes.node import Node, node
from tests.quick import starts_processes
from tests.servers.processes import ServerProcess

__all__ = ["node"]

HIDDEN = """
import importlib

def start():
    importlib.import_module("sub" + "process").run(["true"])

def test_starting():
    start()

def test_starting_and_hiding_it():
    try:
        start()
    except RuntimeError:
        pass

def test_openly():
    import subprocess
    subprocess.run(["true"])

def test_nothing():
    pass
"""


def call(function: Callable[[], object]) -> Callable[[], object]:
    return lambda: function()


def by_name() -> None:
    subprocess.run(["true"], check=True)


class Holder:
    @property
    def start(self) -> type[ServerProcess]:
        return ServerProcess


START: dict[str, Any] = {"a": by_name}


def in_a_dictionary() -> None:
    START["a"]()


def through_a_class() -> object:
    return Holder().start


def by_a_fork() -> int:
    return os.fork()


def with_a_fixture(node: Node) -> None: ...


def alone() -> str:
    return os.name


@pytest.mark.parametrize(
    ("function", "starts"),
    [
        (by_name, True),
        (in_a_dictionary, True),
        (through_a_class, True),
        (by_a_fork, True),
        (call(by_name), True),
        (alone, False),
        (call(alone), False),
    ],
)
def test_the_names_in_its_code_say_what_a_test_starts(
    request: pytest.FixtureRequest, function: Any, starts: bool
) -> None:
    item = pytest.Function.from_parent(
        request.node.parent, name="test_it", callobj=lambda: function()
    )
    assert starts_processes(item) is starts


def test_what_a_fixture_starts_its_tests_start(request: pytest.FixtureRequest) -> None:
    item = pytest.Function.from_parent(request.node.parent, name="test_it", callobj=with_a_fixture)
    assert starts_processes(item)


def test_a_quick_test_that_starts_a_process_fails(tmp_path: Path) -> None:
    """Check a test that does not show it in its code, and one that ignores the error."""
    (tmp_path / "test_hidden.py").write_text(HIDDEN)
    command = [sys.executable, "-m", "pytest", "-rfE", "-p", "tests.quick", "-m", "quick"]
    command += ["-p", "no:cacheprovider", str(tmp_path)]
    root = Path(__file__).parents[2]
    ran = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 1, ran.stdout
    assert "1 failed, 2 passed, 1 deselected, 2 errors" in ran.stdout
    assert "test_starting is marked quick and starts a process" in ran.stdout
    assert "ERROR" in ran.stdout
    assert "test_starting_and_hiding_it" in ran.stdout
