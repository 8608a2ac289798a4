# SPDX-License-Identifier: Apache-2.0
"""Label rules: they keep label values, drop them, hash them, or rewrite them by patterns.

rule.py is for both halves. rewrite.py has the patterns, which only the collector applies.
"""
