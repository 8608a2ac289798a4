# SPDX-License-Identifier: Apache-2.0
"""Pushed lines: metric lines that programs print whenever they like.

===============  ==================================================================
`run`            a program whose output is handed on, and looked through
`pipe`           the same at the end of a pipe
`pump`           the copying of one stream; `whole_lines` looks at what goes by
`backlog`        blocks of lines that wait; the oldest go
`candidates`     the lines of a block that may be metric lines
`taker`          a thread that takes these out of blocks
`sink`           where lines go: to the gatherer, or into the lane of this process
`client`         a program's end of the connection to the gatherer
`server`         the gatherer's end: it listens at the socket for lines
`protocol`       what both ends say to each other
===============  ==================================================================
"""
