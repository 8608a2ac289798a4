# SPDX-License-Identifier: Apache-2.0
"""Destinations of spans: engines that have the traces of many nodes. It does not know where spans
come from.

====================  ===================================================================
`trace_destinations`  all destinations, with a forwarder for each
`spans`               the size of a span in a queue, and its form for a sender
`otlp`                spans as OTLP's messages; `otlp_http` and `otlp_grpc` send these
`backend`             a sender through OSProfiler's drivers, as notifications
`bounded_calls`       calls with a time limit, in a thread
====================  ===================================================================
"""
