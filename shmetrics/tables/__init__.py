# SPDX-License-Identifier: Apache-2.0
"""Tables: everything that there is to show, as arrays; one table per metric family."""
