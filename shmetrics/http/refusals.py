# SPDX-License-Identifier: Apache-2.0
"""The reasons for refusing a client: the label `reason` of shmetrics_http_refused_total."""

BODY = "body"  # no request here has one
CLIENT_NAME = "client_name"  # no name of the client's certificate is allowed
CONNECTIONS = "connections"  # too many are open, and this one gave way
DESCRIPTORS = "descriptors"  # none was left, and this connection gave way
GONE = "gone"  # the client left before it had its answer
HEAD = "head"  # too large, or too many headers
MALFORMED = "malformed"  # not HTTP/1.1
PASSWORD = "password"  # wrong, or none
PASSWORDS_BUSY = "passwords_busy"  # too many are being checked
RATE = "rate"  # more requests than rate_limit of the web configuration file allows
SLOW_READER = "slow_reader"
SLOW_REQUEST = "slow_request"
TLS = "tls"  # the handshake failed
WAITING_BYTES = "waiting_bytes"  # answers that are not taken hold too much memory
