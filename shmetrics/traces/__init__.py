# SPDX-License-Identifier: Apache-2.0
"""The traces of the node: span events in, traces and their trees out, kept in one SQLite file.

It does not know lanes, HTTP, or where spans are forwarded to.
"""
