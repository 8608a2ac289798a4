# SPDX-License-Identifier: Apache-2.0
"""The registration of a process, which gets it a lane.

`protocol` is the conversation, without I/O; `client` and `server` are thin ends of it for the
emitter and the collector.
"""
