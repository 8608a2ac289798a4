# SPDX-License-Identifier: Apache-2.0
"""Destinations: engines that have the traces and the metrics of many nodes.

`traces` sends them spans, `metrics` sends them snapshots, both through forwarders of `forwarding`.
"""
