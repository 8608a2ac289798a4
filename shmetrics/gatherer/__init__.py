# SPDX-License-Identifier: Apache-2.0
"""The process that gathers: it makes passes over all units, and is an emitter like any other.

schedule.py says when a pass is due, passes.py makes it, cgroup_series.py records a unit, and
daemon.py joins them with the other parts in one asyncio loop.
"""
