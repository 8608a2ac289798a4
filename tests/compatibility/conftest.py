# SPDX-License-Identifier: Apache-2.0
"""A collector in this process, for the tests of this folder."""

from tests.nodes.loopback import loopback

__all__ = ["loopback"]
