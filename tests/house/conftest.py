# SPDX-License-Identifier: Apache-2.0
"""The house is the same for every Python, and import-linter is for 3.11 and later."""

import sys

collect_ignore = ["test_contract.py"] if sys.version_info < (3, 11) else []
