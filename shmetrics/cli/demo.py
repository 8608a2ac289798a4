# SPDX-License-Identifier: Apache-2.0
"""`shmetrics demo`: a collector, a gatherer, and oslo.messaging services that talk."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import signal
import sys
import tempfile
import time
from collections.abc import Iterator

from shmetrics.cli import demo_units, top
from shmetrics.cli.processes import Processes
from shmetrics.client import collector_client

SUMMARY = "run a collector, a gatherer, and an RPC client and server, and show live figures"
EXAMPLE = "shmetrics demo --transport-url rabbit://guest:guest@127.0.0.1:5672/ --seconds 20"

# An in-process broker: client and server are threads of one process.
IN_PROCESS_URL = "kombu+memory://"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument(
        "--transport-url",
        metavar="URL",
        default=IN_PROCESS_URL,
        help="a broker; client and server are then processes of their own "
        f"(default: {IN_PROCESS_URL}, both in one process)",
    )
    parser.add_argument(
        "--seconds", type=_seconds, metavar="N", help="end after N seconds, with status 0"
    )
    parser.add_argument(
        "--listen",
        metavar="HOST:PORT",
        default="127.0.0.1:0",
        help="address of the page (default: a free port on 127.0.0.1)",
    )


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds to wait")
    return seconds


def run(options: argparse.Namespace) -> int:
    """Show live figures until the command is interrupted, or its time is over."""
    for name in ("oslo_messaging", "starlette", "rich"):
        if importlib.util.find_spec(name) is None:  # reported here, and not in a child's log
            raise ModuleNotFoundError(name=name)
    for number in (signal.SIGTERM, signal.SIGHUP):  # our processes must not outlive us
        signal.signal(number, signal.default_int_handler)
    deadline = time.monotonic() + (options.seconds or float("inf"))
    roles = ["both"] if options.transport_url == IN_PROCESS_URL else ["server", "client"]
    # Ctrl-C is the usual end, also while the processes start.
    with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="shmetrics-demo-"))
        processes = stack.enter_context(contextlib.closing(Processes(directory)))
        processes.start("collector", "shmetrics", "collector", "--listen", options.listen)
        collector = collector_client.find(directory)
        gather_config = demo_units.configuration(directory)
        if gather_config:
            processes.start("gatherer", "shmetrics", "gather", "--config", gather_config)
        for role in roles:
            processes.start(role, "shmetrics.cli.demo_service", role, options.transport_url)
        print(f"open {collector.url}/ in a browser, {collector.url}/metrics in Prometheus")
        print(f"other commands: shmetrics top --runtime-dir {directory}", flush=True)
        looks = _until(deadline, processes, top.watch(collector, 1.0))
        if sys.stdout.isatty():
            top.show_live(collector, looks, "Ctrl-C ends the demo")
        else:
            for look in looks:
                print(top.plain(look), end="\n\n", flush=True)
    return 0


def _until(deadline: float, processes: Processes, looks: Iterator[top.Look]) -> Iterator[top.Look]:
    while time.monotonic() < deadline:
        processes.check()
        yield next(looks)
