# SPDX-License-Identifier: Apache-2.0
"""Destinations: finished spans are forwarded to engines that have the traces of many nodes.

It does not know where spans come from; a forwarder does not even know that they are spans.

===============  ===================================================================
`forwarders`     the forwarders of a collector, one for each destination
`forwarder`      a thread with a queue: it sends batches, tries again, and gives up
`spans`          the size of a span in a queue, and its form for a sender
`sender`         the interface through which a forwarder sends, and its errors
`otlp`           spans as OTLP's messages; `otlp_http` and `otlp_grpc` send these
`backend`        a sender through OSProfiler's drivers, as notifications
`bounded_calls`  calls with a time limit, in a thread
===============  ===================================================================
"""
