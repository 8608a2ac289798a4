# SPDX-License-Identifier: Apache-2.0
"""The emitting side: instruments, and the process's lane under them."""

from shmetrics.emitter import process

process.start()
