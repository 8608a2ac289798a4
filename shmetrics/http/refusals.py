# SPDX-License-Identifier: Apache-2.0
"""Why a client was refused or cut off: the label `reason` of shmetrics_http_refused_total."""

BODY = "body"  # no request here has one
CLIENT_NAME = "client_name"  # its certificate is for somebody else
CONNECTIONS = "connections"  # one had to give way, or nobody could
DESCRIPTORS = "descriptors"  # none was left for the connection
GONE = "gone"  # it left before it had its answer
HEAD = "head"  # too large, or too many headers
MALFORMED = "malformed"  # not HTTP/1.1
PASSWORD = "password"  # wrong, or none
PASSWORDS_BUSY = "passwords_busy"  # too many are being checked
RATE = "rate"  # more requests than the web configuration file wants
SLOW_READER = "slow_reader"
SLOW_REQUEST = "slow_request"
TLS = "tls"  # the handshake failed
WAITING_BYTES = "waiting_bytes"  # too much memory for answers that nobody takes
