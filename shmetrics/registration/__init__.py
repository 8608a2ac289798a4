# SPDX-License-Identifier: Apache-2.0
"""How a process gets its lane: a pure protocol, and a thin end for either side."""
