# SPDX-License-Identifier: Apache-2.0
"""A WSGI service in two releases, whose metrics differ in labels, buckets, help and mode.

The file that RELEASE names says which: a worker that starts later has the later one. Each request
is a byte in LEDGER as well.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import shmetrics

release = int(Path(os.environ["RELEASE"]).read_text())
labels = {"queue": "fast"} if release == 1 else {"queue": "fast", "tenant": "t"}
bounds = [0.001, 1, 5] if release == 1 else [0.0005, 0.001, 0.01, 1, 5, 10]
mode = "livesum" if release == 1 else "livemax"

jobs = shmetrics.Counter("jobs", "Jobs", list(labels)).labels(**labels)
took = shmetrics.Histogram("job_seconds", "Time of a job", ["queue"], buckets=bounds).labels("fast")
requests = shmetrics.Counter("requests", f"Requests, as release {release} counts them")
newest = shmetrics.Gauge("newest_release", "Release", multiprocess_mode=mode)

ledger = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def application(
    environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]
) -> Iterable[bytes]:
    os.write(ledger, b"r")
    jobs.inc()
    took.observe(0.002)
    requests.inc()
    newest.set(release)
    body = f"{release}{os.getpid():08}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
