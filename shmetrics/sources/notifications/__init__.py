# SPDX-License-Identifier: Apache-2.0
"""Traces from the bus: what OSProfiler's `messaging://` sends goes into the node's trace store.

===========  =====================================================================
`payload`    what is said in a notification, checked, as a span event
`listener`   takes notifications off the bus, has their spans written, and counts
===========  =====================================================================
"""
