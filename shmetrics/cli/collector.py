# SPDX-License-Identifier: Apache-2.0
"""`shmetrics collector`: the daemon, one per node."""

from __future__ import annotations

import argparse

SUMMARY = "run the collector of this node until SIGTERM"
EXAMPLE = "shmetrics collector --config /etc/shmetrics.toml --listen 127.0.0.1:9464"

# Flags that set the option of the same name, and override the configuration file.
_OVERRIDES = ("--runtime-dir", "--listen", "--web-config", "--oslo-metrics-socket")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument(
        "--runtime-dir", metavar="DIR", help="where emitters and collector meet; best on tmpfs"
    )
    parser.add_argument(
        "--listen",
        metavar="HOST:PORT",
        help="address of the HTTP server (default: 127.0.0.1:9464); port 0 is any free one",
    )
    parser.add_argument(
        "--web-config",
        metavar="FILE",
        help="TLS, client certificates and passwords, in the format of Prometheus's exporters",
    )
    parser.add_argument(
        "--oslo-metrics-socket",
        metavar="PATH",
        help="also take the datagrams of services that speak oslo.metrics's own protocol; "
        "they send to /var/tmp/metrics_collector.sock",
    )
    file_arguments(parser)


def file_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that name a configuration file."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        default="",
        help="TOML; shmetrics check --print-default shows every option",
    )
    parser.add_argument(
        "--oslo-config",
        metavar="FILE",
        default="",
        help="an existing configuration file of oslo.metrics, as it stands",
    )


def run(options: argparse.Namespace) -> int:
    """Run the collector until it is told to stop, and has drained all lanes."""
    import logging

    from shmetrics import config
    from shmetrics.collector import daemon

    given = {flag: getattr(options, flag[2:].replace("-", "_")) for flag in _OVERRIDES}
    flags = {flag: value for flag, value in given.items() if value is not None}
    wanted = config.load(options.config, options.oslo_config, flags)
    logging.basicConfig(level=logging.INFO, format="shmetrics: %(levelname)s: %(message)s")
    daemon.run(wanted, _ready)
    return 0


def _ready(where: str) -> None:
    print(f"shmetrics collector is ready: {where}", flush=True)
