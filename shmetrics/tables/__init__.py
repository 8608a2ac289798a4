# SPDX-License-Identifier: Apache-2.0
"""Tables of everything that is shown, as arrays: one table per family, whatever it came from.

A table source makes tables; formats and pages are not known here.
"""
