# SPDX-License-Identifier: Apache-2.0
"""The traces of the node: span events in, trees out."""
