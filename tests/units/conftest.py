# SPDX-License-Identifier: Apache-2.0
"""What the tests of units share."""

from tests.units.cgroups import cgroups

__all__ = ["cgroups"]
