# SPDX-License-Identifier: Apache-2.0
"""The process that gathers: a pass over all units now and then, recorded as any emitter records.

schedule.py says when, passes.py makes a pass, recorder.py records units, and daemon.py joins them
with other parts in one asyncio loop.
"""
