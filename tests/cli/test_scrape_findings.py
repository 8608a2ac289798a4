# SPDX-License-Identifier: Apache-2.0
"""`shmetrics check --scrape-config`: which limit of which job does not fit, and what to write."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from shmetrics.cli.scrape_findings import MOST_NATIVE_BUCKETS, Quotas, Scraped, compare
from shmetrics.config import Store, scrape_file
from shmetrics.config.scrape_file import JobLimits
from shmetrics.dictionary import DEFAULT_BUCKETS
from shmetrics.errors import ConfigError
from shmetrics.store.exponential import MAX_BOUNDS
from tests.nodes.node import ROOT
from tests.servers.collector import Collector

ROOMY = JobLimits(60.0, 10.0, 0, 0, 0, 0)
SCRAPED = Scraped(1000, 100_000, 120_000, 0.1, 28)
QUOTAS = Quotas({"label_bytes": 20.0}, {"label_bytes": 1024.0, "series_per_family": 100.0})


def wrong(limits: JobLimits) -> list[str]:
    return [each.text for each in compare("job", limits, SCRAPED, QUOTAS) if not each.good]


def limits(**values: Any) -> JobLimits:
    fields = {name: getattr(ROOMY, name) for name in ROOMY.__struct_fields__}
    return JobLimits(**{**fields, **values})


def test_no_limits_are_no_problem() -> None:
    assert wrong(ROOMY) == []
    assert wrong(limits(samples=2800, body_bytes=10**6, native_buckets=400)) == []


def test_the_native_buckets_are_those_of_the_store() -> None:
    assert MOST_NATIVE_BUCKETS == MAX_BOUNDS


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"samples": 1200}, "sample_limit is 1\u202f200, and a scrape has 1\u202f000"),
        ({"body_bytes": 110_000}, "a scrape has 97.7\u202fKiB as text"),
        ({"body_bytes": 140_000}, "a scrape has 117\u202fKiB as protocol buffers"),
        ({"timeout_seconds": 0.12}, "scrape_timeout is"),
        ({"timeout_seconds": 61.0}, "longer than scrape_interval"),
        ({"samples": 2700}, "set store.max_series_per_family = 77"),
        ({"native_buckets": 160}, "native_histogram_bucket_limit is 160"),
        ({"label_value_bytes": 200}, "set store.max_label_bytes = 200"),
    ],
)
def test_what_does_not_fit_is_named_with_a_mend(values: dict[str, Any], text: str) -> None:
    found = wrong(limits(**values))
    assert any(text in each for each in found), found


@pytest.mark.parametrize(
    "name", ["prometheus.yml", "prometheus-agent.yml", "vmagent.yml", "otel-collector.yaml"]
)
def test_our_own_jobs_fit_the_default_quotas(name: str) -> None:
    """Compare both jobs: a label set has one sample in the first, in the other that of a call."""
    path = str(ROOT / "packaging" / "engines" / name)
    store = Store()
    quotas = Quotas(
        {},
        {"series_per_family": store.max_series_per_family, "label_bytes": store.max_label_bytes},
    )
    fresh, rest = scrape_file.load(path)
    for job, samples in ((fresh, 1), (rest, len(DEFAULT_BUCKETS) + 5)):
        scraped = SCRAPED._replace(samples_per_label_set=samples)
        found = list(compare(name, scrape_file.limits_of(job, path), scraped, quotas))
        assert [each.text for each in found if not each.good] == []


def first_limits(path: str) -> JobLimits:
    return scrape_file.limits_of(scrape_file.load(path)[0], path)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("scrape_configs: 1", "scrape_configs"),
        ("scrape_configs: [{job_name: a, scrape_timeout: 5 s}]", "5 s is no duration"),
        ("scrape_configs: [{job_name: a, body_size_limit: much}]", "much is no size"),
        ("scrape_configs: [{job_name: a, sample_limit: x}]", "sample_limit"),
        ("receivers: {prometheus/a: 1}", "receivers: prometheus/a: Expected `object`"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "prometheus.yml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=what):
        first_limits(str(path))


def test_what_holds_for_a_job(tmp_path: Path) -> None:
    path = tmp_path / "prometheus.yml"
    path.write_text(
        "global: {scrape_interval: 15s, sample_limit: 7, external_labels: {a: b}}\n"
        "scrape_configs:\n"
        "  - {job_name: a}\n"
        "  - {job_name: b, scrape_interval: 1m30s, scrape_timeout: 500ms, body_size_limit: 50MB,\n"
        "     sample_limit: 0, native_histogram_bucket_limit: 160, file_sd_configs: []}\n"
    )
    first, second = (scrape_file.limits_of(job, str(path)) for job in scrape_file.load(str(path)))
    assert first == JobLimits(15.0, 10.0, 7, 0, 0, 0)
    assert second == JobLimits(90.0, 0.5, 0, 50 * 1024**2, 0, 160)


def test_each_receiver_of_opentelemetry_has_its_own_global_values(tmp_path: Path) -> None:
    path = tmp_path / "otel.yaml"
    path.write_text(
        "receivers:\n"
        "  otlp: {config: 1}\n"
        "  prometheus:\n"
        "    config: {global: {scrape_interval: 15s}, scrape_configs: [{job_name: a}]}\n"
        "  prometheus/more:\n"
        "    config: {global: {sample_limit: 7}, scrape_configs: [{job_name: b}]}\n"
        "  prometheus/none: {}\n"
    )
    first, second = (scrape_file.limits_of(job, str(path)) for job in scrape_file.load(str(path)))
    assert first == JobLimits(15.0, 10.0, 0, 0, 0, 0)
    assert second == JobLimits(60.0, 10.0, 7, 0, 0, 0)


def test_the_command(command: Any, collector: Collector, tmp_path: Path) -> None:
    path = tmp_path / "prometheus.yml"
    target = collector.url.removeprefix("http://")
    path.write_text(
        "scrape_configs:\n"
        f"  - {{job_name: fast, params: {{'name[]': [shmetrics_lanes]}},"
        f" static_configs: [{{targets: ['{target}']}}]}}\n"
        f"  - {{job_name: all, sample_limit: 20, static_configs: [{{targets: ['{target}']}}]}}\n"
        "  - {job_name: shmetrics of others}\n"
    )
    asked = ("check", "--runtime-dir", str(collector.runtime_dir), "--scrape-config", str(path))
    outcome = command(*asked)
    assert (outcome.status, outcome.err) == (1, "")
    assert f"ok     {path}: fast: sample_limit is not set; a scrape has 2\n" in outcome.out
    assert re.search(r"fast: body_size_limit is not set; a scrape has .+ as text", outcome.out)
    assert re.search(r"all: body_size_limit is not set; .+ as protocol buffers", outcome.out)
    assert f"WRONG  {path}: all: sample_limit is 20, and a scrape has " in outcome.out
    assert "of others" not in outcome.out
    path.write_text("scrape_configs: [{job_name: node}]")
    outcome = command(*asked)
    assert outcome.status == 1
    assert f"none has the target {target}" in outcome.out
