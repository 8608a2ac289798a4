# SPDX-License-Identifier: Apache-2.0
"""OSProfiler with `connection_string = shm://`: spans go into the process's lane, and reports come
from the node's collector, or from those of several nodes. And OSProfiler's profiler, compiled.

==============  =====================================================================
`driver`        OSProfiler's storage driver ``shm``
`collectors`    the collectors that a connection string names, and how they are asked
`installation`  the compiled profiler in the place of OSProfiler's own, and out of it
`_profiler`     where each context is in its trace, compiled
`decorator`     the one part of it that has to be Python: traced functions
`sink`          where spans go: the lane, or a notifier
`stack`         a profiler's stacks, for those who reach into it
==============  =====================================================================

OSProfiler finds a driver among the classes that are loaded, so something has to load this one: a
service's import of `shmetrics.hooks.osprofiler`, or the line that installs `finder`.
"""
