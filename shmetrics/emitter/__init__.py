# SPDX-License-Identifier: Apache-2.0
"""The emitting half: instruments, and the lane of the process below them.

Importing the package prepares the process to record; it does not connect to a collector yet.
"""

from shmetrics.emitter import process

process.start()
