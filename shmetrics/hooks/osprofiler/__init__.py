# SPDX-License-Identifier: Apache-2.0
"""OSProfiler's storage driver `shm`, and OSProfiler's profiler, compiled.

With `connection_string = shm://` spans go into the lane of the process, and reports come from the
collector of this node, or from the collectors of several nodes.

==============  =====================================================================
`driver`        OSProfiler's storage driver ``shm``
`collectors`    the collectors that a connection string names, and how they are asked
`installation`  puts the compiled profiler in the place of OSProfiler's own, and back
`_profiler`     the compiled profiler: the innermost span of each context
`decorator`     traced functions, the one part of it that has to be Python
`middleware`    OSProfiler's own middleware, made to do what ours does
`idle`          the mark of spans in a trace that was idle for long
`sink`          the receiver of spans: the lane, or a notifier
`values`        the values in spans of OSProfiler's own sources, left out unless asked for
`stack`         the stacks of a profiler, for code that reaches into it
==============  =====================================================================

OSProfiler finds a driver among the classes that are loaded, so something has to load this one: a
service's import of `shmetrics.hooks.osprofiler`, or the line that installs `finder`.
"""
