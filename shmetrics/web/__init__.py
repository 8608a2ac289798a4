# SPDX-License-Identifier: Apache-2.0
"""The answers of the collector: metrics for Prometheus, JSON for programs, pages for people.

app.py and trace_routes.py have the paths, scrape.py the answer to Prometheus, node_page.py and
trace_pages.py the pages, whose HTML is in templates/. methods.py sums series up to what an operator
asks about. All of it is read-only, and sockets are the server's, in shmetrics/http/.
"""
