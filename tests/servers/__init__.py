# SPDX-License-Identifier: Apache-2.0
"""Private servers for tests, and the account of what a test leaves behind."""
