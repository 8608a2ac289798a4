# SPDX-License-Identifier: Apache-2.0
"""What an emitting program of a test begins with where a collector will answer.

A service waits for its lane no longer than 50 ms, in which a busy machine may not have come to it.
A test that looks at a lane should not find that there is none yet.
"""

PATIENT = """
import shmetrics.emitter.process
shmetrics.emitter.process.FIRST_WAIT_NS = 30_000_000_000
"""
