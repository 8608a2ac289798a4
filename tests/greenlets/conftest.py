# SPDX-License-Identifier: Apache-2.0
"""Nodes for the tests of this folder."""

from tests.nodes.node import node

__all__ = ["node"]
