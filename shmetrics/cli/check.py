# SPDX-License-Identifier: Apache-2.0
"""`shmetrics check`: find errors of a configuration or a runtime directory."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from shmetrics.cli.collector import file_arguments
from shmetrics.client import collector_client

if TYPE_CHECKING:
    from shmetrics.cli.findings import Finding

SUMMARY = "say what is wrong with a configuration or a runtime directory, and how to mend it"
EXAMPLE = "shmetrics check --config /etc/shmetrics.toml"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    collector_client.argument(parser)
    file_arguments(parser)
    parser.add_argument(
        "--gather-config",
        metavar="FILE",
        help="check a gatherer and its configuration instead",
    )
    parser.add_argument(
        "--scrape-config",
        metavar="FILE",
        help="compare the limits of a Prometheus's scrape jobs with a running collector instead",
    )
    parser.add_argument(
        "--service-config",
        metavar="FILE",
        help="check the configuration of a service on oslo.messaging instead, such as nova.conf",
    )
    parser.add_argument(
        "--print-default",
        action="store_true",
        help="print every option with its default and its meaning, as TOML, and do nothing else",
    )


def run(options: argparse.Namespace) -> int:
    """Print the findings, and return 1 if one of them is wrong.

    Raises:
        ConfigError: a configuration file is wrong (exit status 2).
    """
    from shmetrics import config, runtime_dir
    from shmetrics.cli import findings

    if options.print_default:
        print(config.commented(config.Config()), end="")
        return 0
    if options.gather_config:
        return _said(_gatherer(options.gather_config))
    if options.service_config:
        from shmetrics.cli import service_findings

        return _said(list(service_findings.check(options.service_config)))
    if options.scrape_config:
        from shmetrics.cli import scrape_findings

        collector = collector_client.find(options.runtime_dir, options.http_config)
        return _said(list(scrape_findings.check(options.scrape_config, collector)))
    flags = {"--runtime-dir": options.runtime_dir} if options.runtime_dir else {}
    wanted = config.load(options.config, options.oslo_config, flags)
    found = []
    try:
        directory = wanted.runtime_dir or runtime_dir.find()
    except runtime_dir.Distrusted as error:
        print(f"WRONG  {error}; use a directory of your own")
        return 1
    files = [path for path in (options.config, options.oslo_config) if path]
    found += [findings.Finding(True, f"{path}: every option is valid") for path in files]
    if wanted.web_config:
        found += findings.web_config(wanted)
    found += findings.destinations(wanted)
    if not files or options.runtime_dir or os.path.exists(directory):
        found += findings.directory(directory)
        found += findings.lane_memory(directory, wanted.lane.total_bytes)
    if os.path.exists(os.path.join(directory, collector_client.INFO_NAME)) or not files:
        found += findings.collector(directory, options.http_config)
    else:  # a configuration for a collector that has not started yet
        found.append(findings.address(wanted.address))
    return _said(found)


def _gatherer(path: str) -> list[Finding]:
    """Check a gatherer. Raises ConfigError."""
    from shmetrics.cli import findings, unit_findings
    from shmetrics.config.gather import GatherConfig
    from shmetrics.config.load import load_file

    config = load_file(path, GatherConfig)
    valid = findings.Finding(True, f"{path}: every option is valid")
    return [valid, *unit_findings.check(config)]


def _said(found: Sequence[Finding]) -> int:
    """Print findings; return the exit status."""
    for finding in found:
        mark = "WRONG" if not finding.good else "ok" if finding.is_checked else "?"
        print(f"{mark:5}  {finding.text}")
    return 0 if all(finding.good for finding in found) else 1
