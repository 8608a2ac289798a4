# SPDX-License-Identifier: Apache-2.0
"""The sources that bring data from outside of lanes: oslo.metrics's socket, and the bus."""
