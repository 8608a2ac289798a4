# SPDX-License-Identifier: Apache-2.0
"""What all sources of spans share: what is switched on, and how a span is said.

=============  =====================================================================================
`options`      `[profiler]` of a service's configuration, as far as it is ours
`switches`     what they turn on, and off again
`headers`      a trace as it comes from elsewhere and goes on, signed; how far it is believed
`span`         a span that knows its own end, and a trace's stay in a thread
`operations`   what is done on a database: a call always, a span within a trace
`detached`     a span beside the stack of spans, for what may outlive them
`notifying`    whether it is a notifier that is at work
`patch`        a function replaced for a while
`failures`     what went wrong in all that, counted and never raised
=============  =====================================================================================
"""
