# SPDX-License-Identifier: Apache-2.0
"""What there is to show, as arrays: a table per family, whatever it came from.

A table source makes tables; formats and pages are not known here.
"""
