# SPDX-License-Identifier: Apache-2.0
"""OSProfiler at the price of a record: what a service calls once, when it starts.

    import shmetrics.osprofiler
    shmetrics.osprofiler.install()

See docs/osprofiler.md.
"""

from shmetrics.hooks.osprofiler.installation import current_trace, install, uninstall
from shmetrics.hooks.switches import setup, teardown

__all__ = ["current_trace", "install", "setup", "teardown", "uninstall"]
