# SPDX-License-Identifier: Apache-2.0
"""`python -m benchmarks.prometheus_service LABEL_SETS`: prometheus_client's own server, with these.

Says where it listens, and ends when its standard output is closed or it is terminated.
"""

from __future__ import annotations

import sys
from typing import Any

from benchmarks import scraped
from benchmarks.groups.instruments import prometheus_families


def count_calls(library: Any, count: int) -> None:
    """Count the same as our collector in scraped.fill()."""
    start, end, seconds = prometheus_families(library)
    for number, values in enumerate(scraped.label_sets(count)):
        begun, ended, took = (family.labels(*values) for family in (start, end, seconds))
        for duration in scraped.durations(number):
            begun.inc()
            ended.inc()
            took.observe(duration)


def main() -> None:
    import prometheus_client

    library: Any = prometheus_client
    library.disable_created_metrics()  # as text these would be gauges of their own
    count_calls(library, int(sys.argv[1]))
    server, thread = library.start_http_server(0, "127.0.0.1")
    print(f"listens on 127.0.0.1:{server.server_port}", flush=True)
    thread.join()


if __name__ == "__main__":
    main()
