# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the gatherer's tests."""

from tests.emitter.conftest import name
from tests.nodes.loopback import loopback
from tests.units.cgroups import cgroups

__all__ = ["cgroups", "loopback", "name"]
