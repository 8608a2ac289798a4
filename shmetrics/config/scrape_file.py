# SPDX-License-Identifier: Apache-2.0
"""The scrape jobs of a Prometheus, as far as their limits go.

The format: https://prometheus.io/docs/prometheus/latest/configuration/configuration/. vmagent reads
the same; the OpenTelemetry collector has it as `config` of each of its receivers `prometheus` and
`prometheus/NAME`. Keys that are not defined here have nothing to do with limits, and are not looked
at.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from shmetrics.config import yaml_file
from shmetrics.errors import ConfigError

_UNITS_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
_DURATION = re.compile(r"(\d+)(ms|[smhdwy])")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGTPE]?)(?:i?B)?")


class Static(msgspec.Struct):
    """Targets that are written out."""

    targets: list[str] = []


class Limits(msgspec.Struct):
    """Limits that a job sets for itself, or `global` for all. None: it is not said; 0: no limit."""

    scrape_interval: str | None = None
    scrape_timeout: str | None = None
    sample_limit: int | None = None
    body_size_limit: str | int | None = None
    label_value_length_limit: int | None = None
    native_histogram_bucket_limit: int | None = None


class Job(Limits, kw_only=True):
    """A scrape job."""

    job_name: str
    metrics_path: str = "/metrics"
    params: dict[str, list[str]] = {}
    static_configs: list[Static] = []


class ScrapeFile(msgspec.Struct):
    """The jobs of a file, and what holds for all of them."""

    global_: Limits = msgspec.field(name="global", default_factory=Limits)
    scrape_configs: list[Job] = []
    receivers: dict[str, Any] = {}


class Receiver(msgspec.Struct):
    """A receiver of the OpenTelemetry collector, of the type `prometheus`."""

    config: ScrapeFile = msgspec.field(default_factory=ScrapeFile)


class JobLimits(msgspec.Struct, frozen=True):
    """The limits that hold for a job. 0: no limit."""

    interval_seconds: float
    timeout_seconds: float
    samples: int
    body_bytes: int
    label_value_bytes: int
    native_buckets: int


def load(path: str) -> list[Job]:
    """Return the jobs of a file, each with all limits that are said for it.

    Raises:
        ConfigError: the file is wrong; one line.
    """
    file, _ = yaml_file.decode(yaml_file.load(path), path, ScrapeFile)
    jobs = _jobs(file)
    for name, receiver in file.receivers.items():
        if name.partition("/")[0] == "prometheus":
            try:
                jobs += _jobs(msgspec.convert(receiver, Receiver).config)
            except msgspec.ValidationError as error:
                raise ConfigError(f"{path}: receivers: {name}: {error}") from None
    return jobs


def _jobs(file: ScrapeFile) -> list[Job]:
    """Return the jobs, with the values of `global` for what they do not say themselves."""
    for job in file.scrape_configs:
        for key in Limits.__struct_fields__:
            if getattr(job, key) is None:
                setattr(job, key, getattr(file.global_, key))
    return file.scrape_configs


def limits_of(job: Job, path: str) -> JobLimits:
    """Return the limits of a job: its own, or else Prometheus's defaults.

    Raises:
        ConfigError: a duration or a size is none.
    """
    where = f"{path}: {job.job_name}"
    interval_seconds = _seconds(job.scrape_interval or "1m", f"{where}: scrape_interval")
    return JobLimits(
        interval_seconds,
        min(10.0, interval_seconds)
        if job.scrape_timeout is None
        else _seconds(job.scrape_timeout, f"{where}: scrape_timeout"),
        job.sample_limit or 0,
        _bytes(job.body_size_limit or 0, f"{where}: body_size_limit"),
        job.label_value_length_limit or 0,
        job.native_histogram_bucket_limit or 0,
    )


def _seconds(text: str, where: str) -> float:
    found = _DURATION.findall(text)
    if not found or "".join(map("".join, found)) != text:
        raise ConfigError(f"{where}: {text} is no duration, such as 30s")
    return float(sum(int(number) * _UNITS_SECONDS[unit] for number, unit in found))


def _bytes(size: str | int, where: str) -> int:
    found = _SIZE.fullmatch(str(size).strip())
    if found is None:
        raise ConfigError(f"{where}: {size} is no size, such as 50MB")
    return int(float(found[1]) * 1024 ** (" KMGTPE".index(found[2] or " ")))
