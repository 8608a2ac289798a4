# SPDX-License-Identifier: Apache-2.0
"""Lanes in: the files that processes record into, and what the collector does with each of them."""
