# SPDX-License-Identifier: Apache-2.0
"""Delivery: accepted metric lines go on to the logs that an administrator has.

==============  =====================================================================
`deliveries`    all places that lines go to; each has a queue and a thread of its own
`message`       a line in the one form that all of them get
`rfc5424`       a message of syslog, and its frames
`syslog`        syslog over datagrams, and over unix sockets
`journal`       systemd's journal
`stream`        syslog over TCP and TLS; `tls` says what a daemon has to prove
`files`         files per unit, with rotation; `log_file` is one of them
==============  =====================================================================
"""
