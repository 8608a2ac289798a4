# SPDX-License-Identifier: Apache-2.0
"""HTTP: what the collector has, for Prometheus, for programs and for people.

app.py says what is at which path, server.py answers on a socket, page.py draws the page for people,
methods.py sums label sets up to what an operator asks about. Nothing here changes anything.
"""
