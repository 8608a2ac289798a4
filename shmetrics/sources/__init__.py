# SPDX-License-Identifier: Apache-2.0
"""Sources of series or spans beside the lanes: the oslo.metrics socket, OSProfiler's bus.

A source is a Source; it knows the store or the traces, and neither lanes nor the daemon.
"""
