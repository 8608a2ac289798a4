# SPDX-License-Identifier: Apache-2.0
"""A collector in this process, and names that no other test has used."""

from tests.emitter.conftest import name
from tests.nodes.loopback import loopback

__all__ = ["loopback", "name"]
