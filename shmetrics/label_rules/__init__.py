# SPDX-License-Identifier: Apache-2.0
"""What becomes of label values: kept, dropped, hashed into so many names, or rewritten by patterns.

rule.py is for both sides; rewrite.py has the patterns, which a process that records never sees.
"""
