# SPDX-License-Identifier: Apache-2.0
"""The daemon of the node: it opens the other rooms, joins them in one event loop, and closes them.

What a room does is in that room. Nothing but the commands knows this one.
"""
