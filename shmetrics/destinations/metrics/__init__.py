# SPDX-License-Identifier: Apache-2.0
"""Destinations of the metrics of the node: sent once per interval, as a scrape has them.

======================  =====================================================================
`metrics_destinations`  all destinations: what each is sent, and what became of it
`exporter`              the format and the sender of a destination
`snapshot`              the tables of one moment, and what a destination is sent of them
`encoder`               the interface of the formats, and the parts that a snapshot is sent in
`columns`               a table as samples: columns of numbers with their names
`row_text`              the labels of rows in any format, made once per series; `label_fields` has
                        those of remote write, which have three parts
`packing`               lines and messages, put together into parts
`deltas`                what counters have grown by since the last snapshot
======================  =====================================================================

The formats are `graphite`, `statsd`, `remote_write` and `remote_write_2`, `otlp`, `elasticsearch`
and `log`; the senders `stream_sender`, `datagram_sender`, `http_sender` and `grpc_sender`.
"""
