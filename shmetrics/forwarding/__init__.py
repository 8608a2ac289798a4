# SPDX-License-Identifier: Apache-2.0
"""The metrics of the node, sent on to other engines: once per interval, as a scrape has them.

===================  ====================================================================
`forwarding`         all destinations: what each is sent, and what became of it
`snapshot`           the tables of one moment, and what a destination is sent of them
`encoder`            the interface of the formats, and the parts that a snapshot is sent in
`columns`            a table as samples: columns of numbers with their names
`row_text`           the labels of rows in any format, made once per series
`deltas`             what counters have grown by since the last snapshot
`graphite`           lines and pickles
`statsd`             datagrams, with deltas of counters
`stream_sender`      a sender of bytes over a connection
`datagram_sender`    a sender of datagrams
===================  ====================================================================
"""
