# SPDX-License-Identifier: Apache-2.0
"""Forwarding: items wait, are sent, and are sent again, whatever they are and wherever they go.

=============  =====================================================================
`forwarder`    a thread with a queue: it sends batches, tries again, and gives up
`report`       what became of everything for a destination, and what is wrong with it
`sender`       the interface through which a forwarder sends, and its errors
`byte_stream`  a connection to which bytes are written, for senders
`grpc_status`  the failures of gRPC, as errors of senders
=============  =====================================================================
"""
