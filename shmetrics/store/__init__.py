# SPDX-License-Identifier: Apache-2.0
"""The store: the node's families and their series, with totals in one memory-mapped file."""
