# SPDX-License-Identifier: Apache-2.0
"""OSProfiler at the price of a record: what a service calls once, when it starts.

    import shmetrics.osprofiler
    shmetrics.osprofiler.install()

See docs/osprofiler.md.
"""

from shmetrics.hooks.osprofiler.installation import current_trace, install, uninstall
from shmetrics.hooks.tracing.switches import setup, teardown

__all__ = ["current_trace", "headers", "install", "setup", "teardown", "uninstall"]


def headers() -> dict[str, str]:
    """What a client adds to its request, so that the trace that is active here goes on at the
    server; {} if there is none. Never raises."""
    from shmetrics.hooks.tracing import headers as carried  # which brings OSProfiler's web along

    return carried.headers()
