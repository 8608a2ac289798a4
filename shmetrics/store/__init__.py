# SPDX-License-Identifier: Apache-2.0
"""The totals of the node: families, series and their cells in one mapped file, with their quotas.

It does not know where numbers come from, or how they are shown.
"""
