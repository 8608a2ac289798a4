# SPDX-License-Identifier: Apache-2.0
"""The base of all sources of spans: the switches, the spans, and the traces from other services.

=============  =====================================================================================
`options`      our options of `[profiler]` in a service's configuration
`switches`     turns on what the options switch on, and off again
`switch`       the switch of one hook
`headers`      signed headers of a trace: written, read and checked
`http_status`  the status of an HTTP response, which may be the error of its span
`span`         a span on OSProfiler's stack, and the scope of a trace in a thread
`operations`   an operation of a database: always a call, and a span within a trace
`detached`     a span beside OSProfiler's stack, which may outlive the spans around it
`routes`       requests to an API by their route, and the RPCs that they lead to
`notifying`    whether it is a notifier that is at work
`patch`        a function replaced until undo()
`failures`     failures of all these, counted and never raised
=============  =====================================================================================
"""
