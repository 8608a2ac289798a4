# SPDX-License-Identifier: Apache-2.0
"""The report of a soak: for people a table, for programs JSON."""

from __future__ import annotations

from typing import Any

from tests.verify.soak.growth import Figure
from tests.verify.soak.scene import Scene

COUNTED = ("quarantined", "dropped", "registrations", "quota_exceeded")


def document(scene: Scene, wrong: list[str], figures: list[Figure]) -> dict[str, Any]:
    """Everything there is to say."""
    audit = scene.audit
    return {
        "seed": scene.plan.seed,
        "minutes": scene.plan.minutes,
        "seconds": round(scene.seconds, 1),
        "wrong": wrong,
        "done": {what: [scene.done[what], wanted] for what, wanted in scene.plan.wanted.items()},
        "frozen_seconds": round(scene.frozen_seconds, 1),
        "processes": audit.accounts,
        "events": audit.events,
        "spilled": audit.spilled,
        "killed_after_a_move": audit.moved,
        "killed_before_a_move": audit.waited,
        "scrapes": audit.scrapes,
        "totals_compared": audit.compared,
        "totals_exact": audit.exact,
        "turned_away": scene.turned_away,
        "intruders": dict(sorted(scene.intruders.items())),
        "counted": {name: _counted(scene, f"shmetrics_{name}_total") for name in COUNTED},
        "log_bytes": scene.log_bytes,
        "growth": [figure._asdict() | {"grown": figure.grown} for figure in figures],
    }


def _counted(scene: Scene, name: str) -> dict[str, int]:
    """One of the collector's own counts at the end, by its only label, without zeros."""
    counts = {dict(labels).popitem()[1]: int(n) for labels, n in scene.shown.of(name).items() if n}
    return dict(sorted(counts.items()))


def table(found: dict[str, Any]) -> str:
    """The same for a person."""
    rows: list[tuple[str, ...]] = [("", "done", "planned")]
    rows += [(what, f"{n:,}", f"{wanted:,}") for what, (n, wanted) in found["done"].items()]
    lines = [*_aligned(rows), ""]
    rows = [
        ("seconds", f"{found['seconds']:,.0f}"),
        ("seconds frozen", f"{found['frozen_seconds']:,.0f}"),
        ("emitting processes", f"{found['processes']:,}"),
        ("events", f"{found['events']:,}"),
        ("of these spilled", f"{found['spilled']:,}"),
        ("killed in a larger lane", f"{found['killed_after_a_move']:,}"),
        ("killed while events waited for one", f"{found['killed_before_a_move']:,}"),
        ("scrapes", f"{found['scrapes']:,}"),
        ("turned away without a password", f"{found['turned_away']:,}"),
        ("totals found within bounds", f"{found['totals_compared']:,}"),
        ("totals found exact at the end", f"{found['totals_exact']:,}"),
        ("KiB of logs", _scaled(found["log_bytes"], "KiB")),
    ]
    for name, counts in found["counted"].items():
        rows += [(f"{name.replace('_', ' ')}: {label}", f"{n:,}") for label, n in counts.items()]
    lines += [*_aligned(rows), ""]
    rows = [("growth", "warm", "end", "grown", "limit", "figures")]
    for one in found["growth"]:
        unit = "KiB" if one["unit"] == "bytes" else ""
        rows.append(
            (
                f"{one['what']}{', KiB' if unit else ''}",
                *(_scaled(one[key], unit) for key in ("first", "last", "grown", "most")),
                str(one["n"]),
            )
        )
    lines += [*_aligned(rows), ""]
    lines += [f"WRONG: {one}" for one in found["wrong"]]
    lines.append(
        f"seed {found['seed']}: "
        + ("NOT as promised" if found["wrong"] else "exact to the unit, nobody harmed")
    )
    return "\n".join(lines)


def _scaled(figure: float, unit: str) -> str:
    return f"{figure / 1024 if unit else figure:,.0f}"


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """The first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
            ]
        )
        for row in rows
    ]
