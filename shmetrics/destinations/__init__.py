# SPDX-License-Identifier: Apache-2.0
"""Passing finished spans on, to engines that know traces of many nodes.

===============  ===================================================================
`destination`    where to, as a person writes it
`forwarders`     all destinations of a collector, each with a forwarder
`forwarder`      a thread that sends batches, tries again, gives up, and counts
`sender`         what a forwarder sends through, and how that may fail
`otlp`           spans as OTLP's messages; `otlp_http`, `otlp_grpc`: how they travel
`backend`        spans as OSProfiler's notifications, through its drivers
===============  ===================================================================
"""
