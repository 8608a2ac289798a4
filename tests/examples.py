# SPDX-License-Identifier: Apache-2.0
"""`--examples PERCENT`: how many examples hypothesis makes, of those that each test asks for.

`make verify` has them all, and they are the default; the other commands are in more of a hurry.
"""

from __future__ import annotations

import unittest
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# How fast examples are made says something of the machine, and nothing of what is tested.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--examples", type=int, default=100, metavar="PERCENT", help=__doc__)


@pytest.hookimpl(trylast=True)  # hypothesis has marked its tests by then
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    percent = config.getoption("examples")
    if percent < 100:
        for test, name in {_place(item) for item in items if item.get_closest_marker("hypothesis")}:
            asked: settings = getattr(test, name)
            few = -(-asked.max_examples * percent // 100)
            setattr(test, name, settings(asked, max_examples=few))


def _place(item: pytest.Item) -> tuple[Any, str]:
    """Return what has the settings of a test, and under which name."""
    assert isinstance(item, pytest.Function)
    if item.cls and issubclass(item.cls, unittest.TestCase):  # a state machine
        return item.cls, "settings"
    return item.function, "_hypothesis_internal_use_settings"
