# SPDX-License-Identifier: Apache-2.0
"""Tables in, bytes out: the text format, OpenMetrics, and which of them a client asked for.

What comes from where is not known here: no lanes, no sockets.
"""
