# SPDX-License-Identifier: Apache-2.0
"""What the tests of other engines share."""

from tests.servers.leftovers import runtime_dir

__all__ = ["runtime_dir"]
