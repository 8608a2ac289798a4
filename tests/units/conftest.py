# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests of units."""

from tests.units.cgroups import cgroups

__all__ = ["cgroups"]
