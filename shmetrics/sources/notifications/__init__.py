# SPDX-License-Identifier: Apache-2.0
"""A source of traces: OSProfiler's notifications on the bus, sent by its driver `messaging://`.

===========  =====================================================================
`payload`    the payload of a notification, checked, as a span event
`exchanges`  the exchanges that the broker has, for a listener that hears nothing
`listener`   takes notifications from the bus, stores their spans, and counts
===========  =====================================================================
"""
