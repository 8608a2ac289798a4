# SPDX-License-Identifier: Apache-2.0
"""Label rules: they keep label values, drop them, hash them, or rewrite them by patterns.

It does not know where a value comes from, or who counts it. rule.py is for both sides; rewrite.py
has the patterns, which a process that records never sees.
"""
