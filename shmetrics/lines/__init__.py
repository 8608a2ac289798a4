# SPDX-License-Identifier: Apache-2.0
"""Metric lines: what programs say of themselves, as text.

=============  ====================================================================
`line`         a line, parsed within bounds, or the reason for a refusal in a word
`owner`        the unit whose line it is; a line that claims another's is refused
`recorder`     accepted lines as series of ordinary instruments
=============  ====================================================================
"""
