# SPDX-License-Identifier: Apache-2.0
"""`shmetrics top`: live figures of the RPC methods of this node."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from shmetrics.cli.columns import printable, table
from shmetrics.client import collector_client
from shmetrics.figures import seconds

if TYPE_CHECKING:
    from rich.table import Table

    from shmetrics.cli.rates import Rate

SUMMARY = "show a live table of RPC methods: rate, in flight, oldest, p50, p99, errors"
EXAMPLE = "shmetrics top --interval 5"

_COLUMNS = (
    *("side", "topic", "method", ">calls/s", ">in flight", ">oldest"),
    *(">p50", ">p99", ">errors/s"),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    collector_client.argument(parser)
    parser.add_argument(
        "--interval",
        type=_interval,
        default=2.0,
        metavar="SECONDS",
        help="time between two looks; figures are of that time (default: 2)",
    )
    parser.add_argument("--once", action="store_true", help="one interval, as plain text")


def _interval(text: str) -> float:
    seconds = float(text)
    if not 0.1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not between 0.1 and 3600")
    return seconds


def run(options: argparse.Namespace) -> int:
    """Show a live table until the command is interrupted. Without a terminal, print one by one."""
    collector = collector_client.find(options.runtime_dir, options.http_config)
    looks = watch(collector, options.interval)
    if options.once:
        print(plain(next(looks)))
    elif sys.stdout.isatty():
        show_live(collector, looks)
    else:
        for rates in looks:
            print(plain(rates), end="\n\n", flush=True)
    return 0


def watch(
    collector: collector_client.CollectorClient, interval_seconds: float
) -> Iterator[list[Rate]]:
    """Yield the rates of one interval after the other, each *interval_seconds* long."""
    import msgspec

    from shmetrics.cli.rates import between
    from shmetrics.tables.methods import Method

    def look() -> tuple[float, list[Method]]:
        answer = collector.get("/api/v1/methods")
        return time.monotonic(), msgspec.json.decode(answer, type=list[Method])

    then, before = look()
    while True:
        time.sleep(interval_seconds)
        now, after = look()
        yield between(before, after, now - then)
        then, before = now, after


def plain(rates: list[Rate]) -> str:
    """Return rates as plain text."""
    if not rates:
        return "no calls yet"
    return table(_COLUMNS, [_cells(rate) for rate in rates])


def show_live(
    collector: collector_client.CollectorClient, looks: Iterator[list[Rate]], note: str = ""
) -> None:
    """Show a table on the terminal, and renew it in place.

    Args:
        collector: the collector, for the title.
        looks: the rates of one interval after the other.
        note: added to the title; without it the table fills the screen.
    """
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console()
    title = f"{collector.url}  {note}".rstrip()
    waiting = Text(f"{title}\n\nfirst figures after one interval ...", style="dim")
    with Live(waiting, console=console, screen=not note, auto_refresh=False) as live:
        for rates in looks:
            live.update(_rich(title, rates, console.height - 6), refresh=True)


def _rich(title: str, rates: list[Rate], most_rows: int) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    shown = rates[: max(most_rows, 1)]
    left_off = len(rates) - len(shown)
    found = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        header_style="dim",
        caption=f"and {left_off} more" if left_off else None,
        caption_justify="left",
    )
    for name in _COLUMNS:
        found.add_column(name.lstrip(">"), justify="right" if name[0] == ">" else "left")
    for rate in shown:
        cells = [Text(printable(cell)) for cell in _cells(rate)]
        if rate.errors_per_second:
            cells[-1].stylize("bold red")
        found.add_row(*cells, style="" if rate.per_second or rate.in_flight else "dim")
    return found


def _cells(rate: Rate) -> tuple[str, ...]:
    return (
        *(rate.side, rate.topic, rate.method),
        f"{rate.per_second:.1f}",
        str(rate.in_flight),
        *map(seconds, (rate.oldest_seconds, rate.p50, rate.p99)),
        f"{rate.errors_per_second:.1f}",
    )
