# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the mixin's tests."""

from tests.servers.collector import collector
from tests.servers.leftovers import runtime_dir
from tests.servers.prometheus import prometheus
from tests.units.cgroups import cgroups

__all__ = ["cgroups", "collector", "prometheus", "runtime_dir"]
