# SPDX-License-Identifier: Apache-2.0
"""`shmetrics gather`: the process that records what the units of this node cost."""

from __future__ import annotations

import argparse

from shmetrics.cli.units import config_argument, lines

SUMMARY = "record what the services, containers and machines of this node use, until SIGTERM"
EXAMPLE = "shmetrics gather --config /etc/shmetrics/gather.toml"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    config_argument(parser)
    parser.add_argument(
        "--node-conf",
        metavar="FILE",
        help="OpenShift's node.conf: its interval, time limits, lengths and names of metadata",
    )
    parser.add_argument(
        "--once", action="store_true", help="print a table of units and what they use, and exit"
    )
    parser.add_argument(
        "--print-default",
        action="store_true",
        help="print every option with its default and its meaning, as TOML, and do nothing else",
    )
    parser.add_argument(
        "--runtime-dir",
        metavar="DIR",
        help="where the collector is met; default: as every emitter finds it",
    )


def run(options: argparse.Namespace) -> int:
    """Gather until the command is told to stop, or print a table."""
    import logging
    import os

    from shmetrics.gatherer import asyncio_without_tls

    asyncio_without_tls.load()  # first: other modules import it as it is
    from shmetrics import runtime_dir
    from shmetrics.config import node_conf
    from shmetrics.config.commented import commented
    from shmetrics.config.gather import GatherConfig
    from shmetrics.config.load import load_file
    from shmetrics.gatherer import daemon
    from shmetrics.gatherer.selection import finder_of
    from shmetrics.units.readings import read

    if options.print_default:
        print(commented(GatherConfig()), end="")
        return 0
    config = load_file(options.config, GatherConfig)
    logging.basicConfig(level=logging.INFO, format="shmetrics: %(levelname)s: %(message)s")
    if options.node_conf:
        config = node_conf.over(config, options.node_conf)
    if options.runtime_dir:
        os.environ[runtime_dir.VARIABLE] = options.runtime_dir
    if options.once:
        print(lines(read(finder_of(config.gather).units().values())))
        return 0
    daemon.run(config, options.config, _ready)
    return 0


def _ready(what: str) -> None:
    print(f"shmetrics gather is ready: {what}", flush=True)
