# SPDX-License-Identifier: Apache-2.0
"""OSProfiler with `connection_string = shm://`: spans go into the process's lane, and reports come
from the node's collector, or from those of several nodes.

=============  =====================================================================
`driver`       OSProfiler's storage driver ``shm``
`sites`        the collectors that a connection string names, and how they are asked
=============  =====================================================================

OSProfiler finds a driver among the classes that are loaded, so something has to load this one: a
service's import of `shmetrics.hooks.osprofiler`, or the line that installs `finder`.
"""
