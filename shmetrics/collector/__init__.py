# SPDX-License-Identifier: Apache-2.0
"""The collector: the daemon that joins the other rooms, its directory and its limits."""
