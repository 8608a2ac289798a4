# SPDX-License-Identifier: Apache-2.0
"""Trace with OSProfiler at the price of a record: a service calls this once, when it starts.

    import shmetrics.osprofiler
    shmetrics.osprofiler.install()

The page osprofiler.md of the documentation shows what to configure.
"""

from shmetrics.hooks.osprofiler.installation import current_trace, install, uninstall
from shmetrics.hooks.tracing.switches import setup, teardown

__all__ = ["current_trace", "headers", "install", "setup", "teardown", "uninstall"]


def headers() -> dict[str, str]:
    """Return the HTTP headers that let the active trace go on at the server. Never raises.

    Returns:
        Headers by name, to be added to the request; {} if no trace is active here, or it was begun
        without a key.
    """
    from shmetrics.hooks.tracing import headers as carried  # which brings OSProfiler's web along

    return carried.headers()
