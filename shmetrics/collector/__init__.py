# SPDX-License-Identifier: Apache-2.0
"""The collector: the daemon that joins sources, store, tables and web, its directory and its
limits.
"""
