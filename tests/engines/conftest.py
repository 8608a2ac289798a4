# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests of other engines."""

from tests.servers.leftovers import runtime_dir

__all__ = ["runtime_dir"]
