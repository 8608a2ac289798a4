# SPDX-License-Identifier: Apache-2.0
"""`shmetrics spawner`: run the commands of probes, as the users that they are for."""

from __future__ import annotations

import argparse

from shmetrics.errors import ConfigError

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
    import os

    from shmetrics.config import spawner
    from shmetrics.probes.spawner import serve, trusted_file

    wanted = spawner.load(options.config)
    if options.config and os.geteuid() == 0:
        # Whoever can change it says what runs, and as whom.
        try:
            trusted_file.check(os.path.abspath(options.config), 0)
        except trusted_file.Untrusted as error:
            raise ConfigError(f"--config: {error}") from None
    logging.basicConfig(level=logging.INFO, format="shmetrics: %(levelname)s: %(message)s")
    return serve.serve(wanted, options.fd, _ready)


def _ready(where: str) -> None:
    print(f"shmetrics spawner is ready: {where}", flush=True)
