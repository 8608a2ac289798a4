# SPDX-License-Identifier: Apache-2.0
"""`shmetrics top`: live figures of this node's RPC methods, calls that hang, units, and
destinations."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from shmetrics.cli import calls
from shmetrics.cli.columns import printable, table
from shmetrics.client import collector_client
from shmetrics.figures import NONE, number, seconds, size

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from shmetrics.cli.flow import Flow
    from shmetrics.cli.open_call import OpenCall
    from shmetrics.cli.rates import Rate
    from shmetrics.cli.unit_usage import Usage

SUMMARY = "show live tables of RPC methods (rate, in flight, overdue, p50, p99, errors), and more"
EXAMPLE = "shmetrics top --interval 5"

_COLUMNS = (
    *("side", "topic", "method", ">calls/s", ">in flight", ">oldest", ">overdue"),
    *(">p50", ">p99", ">errors/s"),
)

_UNIT_COLUMNS = ("kind", "unit", ">cores", ">memory", ">of", ">processes")

_FLOW_COLUMNS = (
    *("kind", "destination", ">sent/s", ">waiting", ">memory", ">of", ">dropped/s"),
    *(">failing for", "problem"),
)


class Look(NamedTuple):
    """The tables after one interval."""

    methods: list[Rate]
    calls: list[OpenCall]
    units: list[Usage]
    flows: Sequence[Flow] = ()
    halted: Sequence[str] = ()  # lines on processes that do not run


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    collector_client.argument(parser)
    parser.add_argument(
        "--interval",
        type=_interval,
        default=2.0,
        metavar="SECONDS",
        help="time between two looks; figures are of that time, and open calls at least as old "
        "(default: 2)",
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
        for look in looks:
            print(plain(look), end="\n\n", flush=True)
    return 0


def watch(collector: collector_client.CollectorClient, interval_seconds: float) -> Iterator[Look]:
    """Yield what there is after one interval after the other, each *interval_seconds* long."""
    import msgspec

    from shmetrics.cli.flow import Destination, Flows
    from shmetrics.cli.open_call import OpenCall, hanging
    from shmetrics.cli.rates import between
    from shmetrics.cli.unit_usage import Usages
    from shmetrics.tables.methods import Method
    from shmetrics.tables.units import UnitRow

    usages, known_flows = Usages(), Flows()

    def methods() -> tuple[float, list[Method]]:
        answer = collector.get("/api/v1/methods")
        return time.monotonic(), msgspec.json.decode(answer, type=list[Method])

    def open_calls() -> list[OpenCall]:
        answer = collector.get("/api/v1/calls")
        return hanging(msgspec.json.decode(answer, type=list[OpenCall]), interval_seconds)

    def units() -> list[Usage]:
        answer = collector.get("/api/v1/units")
        return usages.of(time.monotonic(), msgspec.json.decode(answer, type=list[UnitRow]))

    def flows() -> list[Flow]:
        answer = collector.get("/api/v1/destinations")
        return known_flows.of(time.monotonic(), msgspec.json.decode(answer, type=list[Destination]))

    then, before = methods()
    units()
    flows()
    while True:
        time.sleep(interval_seconds)
        now, after = methods()
        rates = between(before, after, now - then)
        yield Look(rates, open_calls(), units(), flows(), calls.halted(collector))
        then, before = now, after


def plain(look: Look) -> str:
    """Return the tables as plain text."""
    found = _plain_tables(look)
    return "\n\n".join(found) if found else "no calls yet"


def _plain_tables(look: Look) -> list[str]:
    tables = [table(_COLUMNS, map(_cells, look.methods))] if look.methods else []
    if look.calls:
        tables.append(table(calls.COLUMNS, map(calls.cells, look.calls)))
    tables += look.halted
    if look.units:
        tables.append(table(_UNIT_COLUMNS, map(_unit_cells, look.units)))
    if look.flows:
        tables.append(table(_FLOW_COLUMNS, map(_flow_cells, look.flows)))
    return tables


def show_live(
    collector: collector_client.CollectorClient, looks: Iterator[Look], note: str = ""
) -> None:
    """Show a table on the terminal, and renew it in place.

    Args:
        collector: the collector, for the title.
        looks: what there is after one interval after the other.
        note: added to the title; without it the table fills the screen.
    """
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console()
    title = f"{collector.url}  {note}".rstrip()
    waiting = Text(f"{title}\n\nfirst figures after one interval ...", style="dim")
    with Live(waiting, console=console, screen=not note, auto_refresh=False) as live:
        for look in looks:
            live.update(_rich(title, look, console.height - 6), refresh=True)


def _rich(title: str, look: Look, most_rows: int) -> Group:
    from rich.console import Group
    from rich.text import Text

    most_units = min(len(look.units), most_rows // 2)
    n_calls = min(len(look.calls), most_rows // 4)
    n_flows = min(len(look.flows), most_rows // 4)
    others = sum(n + 5 for n in (most_units, n_calls, n_flows) if n)
    others += sum(text.count("\n") + 1 for text in look.halted)
    tables = [_empty(title, _COLUMNS)]
    for rate in look.methods[: max(most_rows - others, 1)]:
        cells = [Text(printable(cell)) for cell in _cells(rate)]
        if rate.errors_per_second:
            cells[-1].stylize("bold red")
        tables[0].add_row(*cells, style="" if rate.per_second or rate.in_flight else "dim")
    totals = [len(look.methods)]
    if look.calls:
        tables.append(_empty("open calls, the oldest first", calls.COLUMNS))
        totals.append(len(look.calls))
        for call in look.calls[: max(n_calls, 1)]:
            style = "bold red" if call.is_overdue else ""
            tables[-1].add_row(*(Text(printable(cell)) for cell in calls.cells(call)), style=style)
    if look.units:
        tables.append(_empty("units", _UNIT_COLUMNS))
        totals.append(len(look.units))
        for usage in look.units[: max(most_units, 1)]:
            tables[-1].add_row(*(Text(printable(cell)) for cell in _unit_cells(usage)))
    if look.flows:
        tables.append(_empty("destinations", _FLOW_COLUMNS))
        totals.append(len(look.flows))
        for flow in look.flows[: max(n_flows, 1)]:
            style = "bold red" if flow.destination.problem else ""
            tables[-1].add_row(*(Text(printable(cell)) for cell in _flow_cells(flow)), style=style)
    for found, n in zip(tables, totals, strict=True):
        left_off = n - found.row_count
        found.caption = f"and {left_off} more" if left_off else None
    return Group(*(Text(text, style="bold red") for text in look.halted), *tables)


def _empty(title: str, columns: tuple[str, ...]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    found = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        header_style="dim",
        caption_justify="left",
    )
    for name in columns:
        found.add_column(name.lstrip(">"), justify="right" if name[0] == ">" else "left")
    return found


def _cells(rate: Rate) -> tuple[str, ...]:
    return (
        *(rate.side, rate.topic, rate.method),
        f"{rate.per_second:.1f}",
        str(rate.in_flight),
        seconds(rate.oldest_seconds),
        str(rate.overdue),
        *map(seconds, (rate.p50, rate.p99)),
        f"{rate.errors_per_second:.1f}",
    )


def _unit_cells(usage: Usage) -> tuple[str, ...]:
    return (
        *(usage.kind, usage.unit),
        NONE if usage.cores is None else f"{usage.cores:.2f}",
        *map(size, (usage.memory_bytes, usage.memory_limit_bytes)),
        NONE if usage.processes is None else number(usage.processes),
    )


def _flow_cells(flow: Flow) -> tuple[str, ...]:
    found = flow.destination
    return (
        *(found.kind, found.to, _rate(flow.sent_per_second), number(found.waiting)),
        *map(size, (found.waiting_bytes, found.max_waiting_bytes)),
        *(_rate(flow.dropped_per_second), seconds(found.failing_seconds), found.problem),
    )


def _rate(per_second: float | None) -> str:
    return NONE if per_second is None else f"{per_second:.1f}"
