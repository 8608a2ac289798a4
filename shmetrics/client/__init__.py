# SPDX-License-Identifier: Apache-2.0
"""Asking a collector over HTTP: where it is, and what it wants of who asks. For commands, and for
reports that other libraries make."""
