# SPDX-License-Identifier: Apache-2.0
"""An HTTP/1.1 server for any ASGI application: connections, TLS, passwords, limits.

server.py holds the connections, connection.py is one of them, asgi.py translates for the
application. access_rules.py reads the web configuration file again when it changes; tls.py, auth.py
and passwords.py act on it. exposure.py says in words who can reach the server.
"""
