# SPDX-License-Identifier: Apache-2.0
"""The rendering of tables as bytes: the text format, OpenMetrics and protocol buffers.

`negotiation` chooses the format that a client asked for. The room knows no lanes and no sockets.
"""
