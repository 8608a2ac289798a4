# SPDX-License-Identifier: Apache-2.0
"""`shmetrics units`: the units of this node, as a gatherer would find them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from shmetrics.cli.columns import table
from shmetrics.figures import NONE, number

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shmetrics.units.readings import Reading

SUMMARY = "show the services, containers, machines and gears of this node, and what they use"
EXAMPLE = "shmetrics units --json | jq '.[] | select(.kind == \"container\")'"

_COLUMNS = ("kind", "unit", ">cpu seconds", ">memory KiB", ">processes", "cgroup")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    config_argument(parser)
    parser.add_argument("--json", action="store_true", help="everything that is known, as JSON")


def config_argument(parser: argparse.ArgumentParser) -> None:
    """Add the flag that names a gatherer's configuration file."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        default="",
        help="TOML with a table [gather], as shmetrics gather takes it",
    )


def run(options: argparse.Namespace) -> int:
    """Print one line per unit, or JSON."""
    from shmetrics.config.gather import GatherConfig
    from shmetrics.config.load import load_file
    from shmetrics.gatherer.selection import finder_of
    from shmetrics.units.readings import read

    config = load_file(options.config, GatherConfig).gather
    readings = list(read(finder_of(config).units().values()))
    if options.json:
        import json

        print(json.dumps([as_json(reading) for reading in readings]))
    else:
        print(lines(readings))
    return 0


def lines(readings: Iterable[Reading]) -> str:
    """Return a table of units with processor time, memory and processes."""
    from shmetrics.units import families

    rows = [
        (
            reading.unit.kind,
            reading.unit.name,
            _shown(reading.get("container_cpu_usage_seconds"), 1),
            _shown(reading.get(families.USAGE), 1024),
            _shown(reading.get("container_processes"), 1),
            reading.unit.id,
        )
        for reading in sorted(readings, key=lambda reading: (reading.unit.kind, reading.unit.id))
    ]
    if not rows:
        return "there are no units: no cgroup fits a rule; name some in [[gather.units]]"
    return table(_COLUMNS, rows)


def as_json(reading: Reading) -> dict[str, Any]:
    """Return a unit and its numbers as JSON has them."""
    unit = reading.unit
    return {
        "kind": unit.kind,
        "name": unit.name,
        "id": unit.id,
        "generation": unit.generation,
        "uid": unit.uid,
        "home": unit.home,
        "labels": dict(unit.labels),
        "directories": dict(unit.directories),
        "values": [
            {"family": slot.family, "labels": list(slot.labels), "value": value}
            for slot, value in (*reading.values.items(), *reading.of_devices.items())
        ],
    }


def _shown(value: float | None, divisor: float) -> str:
    return NONE if value is None else number(value / divisor)
