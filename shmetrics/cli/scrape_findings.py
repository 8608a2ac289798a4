# SPDX-License-Identifier: Apache-2.0
"""The checks of `shmetrics check --scrape-config`: do the limits of scrape jobs fit a collector?

A scrape that is over a limit is lost as a whole. So each limit is compared with what the collector
shows now, and with what its quotas let it show later.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

from shmetrics.cli.columns import printable
from shmetrics.cli.findings import Finding
from shmetrics.client import collector_client
from shmetrics.config import scrape_file
from shmetrics.config.scrape_file import Job, JobLimits
from shmetrics.figures import number, seconds, size

#: The format of a Prometheus with native histograms, as it asks for it.
PROTOBUF = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
)
#: The share of a limit from which on it is too near.
NEAR = 0.8
#: Native buckets of a family at most: 40 doublings of eight, and one.
MOST_NATIVE_BUCKETS = 321
_SAMPLE = re.compile(rb"^([^\s{#]+)(?:\{| )", re.MULTILINE)
_QUOTA = re.compile(r'^shmetrics_quota_(used|limit)\{.*quota="(\w+)".*\} (\S+)$', re.MULTILINE)


class Scraped(NamedTuple):
    """The measures of a job's scrape, in both formats.

    Attributes:
        samples: how many samples it has as text, which is never less.
        text_bytes: its size as text.
        protobuf_bytes: its size as protocol buffers, as a Prometheus with native histograms gets
            it.
        seconds: the time of the slower one.
        samples_per_label_set: the most samples that one label set has.
    """

    samples: int
    text_bytes: int
    protobuf_bytes: int
    seconds: float
    samples_per_label_set: int


class Quotas(NamedTuple):
    """The quotas of the collector, by name."""

    used: dict[str, float]
    limit: dict[str, float]


def check(path: str, collector: collector_client.CollectorClient) -> Iterator[Finding]:
    """Compare the limits of a Prometheus's file with a running collector.

    Args:
        path: the file.
        collector: the collector, which is scraped once for each job.

    Raises:
        ConfigError: the file is wrong.
        Unreachable: the collector does not answer.
    """
    jobs = jobs_of(scrape_file.load(path), collector.url)
    if not jobs:
        address = urlsplit(collector.url).netloc
        yield Finding(
            False,
            f"{path}: no job scrapes this collector: none has the target {address} or a name that "
            "begins with shmetrics; add one",
        )
        return
    quotas = quotas_of(collector)
    for name, used in quotas.used.items():
        limit = quotas.limit.get(name, 0)
        if limit and used > NEAR * limit:
            yield Finding(
                False,
                f"quota {name}: {number(int(used))} of {number(int(limit))} are used; raise it, or "
                "bound label values with a label rule",
            )
    for job in jobs:
        limits = scrape_file.limits_of(job, path)
        yield from compare(
            f"{path}: {printable(job.job_name)}", limits, scrape(job, collector), quotas
        )


def jobs_of(jobs: list[Job], url: str) -> list[Job]:
    """Return the jobs that name a collector as a target; else those with a name of ours."""
    address = urlsplit(url).netloc
    naming = [
        job for job in jobs if any(address in static.targets for static in job.static_configs)
    ]
    return naming or [job for job in jobs if job.job_name.startswith("shmetrics")]


def scrape(job: Job, collector: collector_client.CollectorClient) -> Scraped:
    """Scrape as a job does, as text and as protocol buffers. Raises Unreachable."""
    query = urlencode([(key, value) for key, values in job.params.items() for value in values])
    path = f"{job.metrics_path}?{query}" if query else job.metrics_path
    begun = time.monotonic()
    body = collector.get(path)
    between = time.monotonic()
    protobuf = collector.get(path, PROTOBUF)
    took = max(between - begun, time.monotonic() - between)
    names = Counter(_SAMPLE.findall(body))
    per_set = [
        -(-names[name.removesuffix(b"_count") + b"_bucket"] // n) + 4  # count, sum, start, end
        for name, n in names.items()
        if name.endswith(b"_count")
    ]
    most = max(per_set, default=1)
    return Scraped(sum(names.values()), len(body), len(protobuf), took, most)


def quotas_of(collector: collector_client.CollectorClient) -> Quotas:
    """Return the collector's quotas. Raises Unreachable."""
    names = [("name[]", f"shmetrics_quota_{what}") for what in ("used", "limit")]
    text = collector.get(f"/metrics?{urlencode(names)}").decode("utf-8", "replace")
    found = Quotas({}, {})
    for what, name, value in _QUOTA.findall(text):
        getattr(found, what)[name] = float(value)
    return found


def compare(where: str, limits: JobLimits, scraped: Scraped, quotas: Quotas) -> Iterator[Finding]:
    """Compare a job's limits with one scrape, and with the quotas."""
    if limits.timeout_seconds > limits.interval_seconds:
        yield Finding(False, f"{where}: scrape_timeout is longer than scrape_interval; lower it")
    as_text, as_protobuf = " as text", " as protocol buffers"
    for what, limit, now, shown, form in (
        ("sample_limit", limits.samples, scraped.samples, number, ""),
        ("body_size_limit", limits.body_bytes, scraped.text_bytes, size, as_text),
        ("body_size_limit", limits.body_bytes, scraped.protobuf_bytes, size, as_protobuf),
        ("scrape_timeout", limits.timeout_seconds, scraped.seconds, seconds, ""),
    ):
        found = f"a scrape has {shown(now)}{form}"
        if not limit:
            yield Finding(True, f"{where}: {what} is not set; {found}")
        elif now > NEAR * limit:
            yield Finding(
                False,
                f"{where}: {what} is {shown(limit)}, and {found}; raise it, or the whole scrape is "
                "lost",
            )
        else:
            yield Finding(True, f"{where}: {what} is {shown(limit)}; {found}")
    most_sets = quotas.limit.get("series_per_family", 0)
    if limits.samples and most_sets * scraped.samples_per_label_set > limits.samples:
        fits = int(NEAR * limits.samples / scraped.samples_per_label_set)
        yield Finding(
            False,
            f"{where}: one family may have {number(int(most_sets))} label sets of "
            f"{scraped.samples_per_label_set} samples, more than sample_limit; set "
            f"store.max_series_per_family = {fits}, so that label sets overflow before the whole "
            "scrape is lost",
        )
    if 0 < limits.native_buckets < MOST_NATIVE_BUCKETS:
        yield Finding(
            False,
            f"{where}: native_histogram_bucket_limit is {limits.native_buckets}, and a histogram "
            f"has up to {MOST_NATIVE_BUCKETS}; raise it to {MOST_NATIVE_BUCKETS}",
        )
    longest = quotas.limit.get("label_bytes", 0)
    if 0 < limits.label_value_bytes < longest:
        yield Finding(
            False,
            f"{where}: label_value_length_limit is {limits.label_value_bytes}, and a value may "
            f"have {number(int(longest))} bytes; set store.max_label_bytes = "
            f"{limits.label_value_bytes}",
        )
