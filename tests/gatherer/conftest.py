# SPDX-License-Identifier: Apache-2.0
"""What the tests of the gatherer share."""

from tests.emitter.conftest import name
from tests.nodes.loopback import loopback
from tests.units.cgroups import cgroups

__all__ = ["cgroups", "loopback", "name"]
