# SPDX-License-Identifier: Apache-2.0
"""A client of collectors over HTTP: it finds the collector, and has the credentials to ask it.

Commands use it, and OSProfiler's reports.
"""
