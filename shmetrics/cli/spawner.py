# SPDX-License-Identifier: Apache-2.0
"""`shmetrics spawner`: run the commands of probes, as the users that they are for."""

from __future__ import annotations

import argparse

SUMMARY = "run the commands of probes for a gatherer; the only part that may be root"
EXAMPLE = "shmetrics spawner --config /etc/shmetrics-gather.toml"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        default="",
        help="TOML, the gatherer's: [spawner] and [[gather.probe]] of it",
    )
    parser.add_argument(
        "--fd",
        type=int,
        metavar="N",
        help="serve one gatherer at this descriptor, a connected socket, and end with it",
    )


def run(options: argparse.Namespace) -> int:
    """Run the spawner until it is told to stop, and all that it has started has ended."""
    import logging

    from shmetrics.config import spawner
    from shmetrics.probes.spawner import serve

    wanted = spawner.load(options.config)
    logging.basicConfig(level=logging.INFO, format="shmetrics: %(levelname)s: %(message)s")
    return serve.serve(wanted, options.fd, _ready)


def _ready(where: str) -> None:
    print(f"shmetrics spawner is ready: {where}", flush=True)
