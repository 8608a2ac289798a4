# SPDX-License-Identifier: Apache-2.0
"""The tests that docs/openstack.md names exist. `make openstack` runs them; this does not."""

import ast
import re

from .snippets import ROOT

NAMED = re.compile(r"`(test_\w+\.py)::(test_\w+)`")


def test_the_named_tests_exist() -> None:
    named = NAMED.findall((ROOT / "docs" / "openstack.md").read_text())
    assert named
    for file, name in named:
        tree = ast.parse((ROOT / "tests" / "openstack" / file).read_text())
        defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert name in defined, f"{file}::{name}"
