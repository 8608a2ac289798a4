# SPDX-License-Identifier: Apache-2.0
"""Nodes for the tests of this folder, and names that no other test has used."""

from __future__ import annotations

import itertools

import pytest

from tests.nodes.loopback import loopback
from tests.nodes.node import node

__all__ = ["loopback", "name", "node"]

_numbers = itertools.count()


@pytest.fixture
def name() -> str:
    """A metric name."""
    return f"m{next(_numbers)}"
