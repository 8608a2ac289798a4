# SPDX-License-Identifier: Apache-2.0
"""What the tests of the gatherer share."""

from tests.units.cgroups import cgroups

__all__ = ["cgroups"]
