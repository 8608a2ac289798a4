# SPDX-License-Identifier: Apache-2.0
"""The site of the pages' tests, which is what these connect to."""

from tests.web.conftest import rpc_tables, run, site, source

__all__ = ["rpc_tables", "run", "site", "source"]
