# SPDX-License-Identifier: Apache-2.0
"""`python -m benchmarks.plots SUMMARY FOLDER`: pictures, the same bytes for the same figures."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from benchmarks import summary as summaries
from benchmarks.contender import Unit
from benchmarks.report import amount
from benchmarks.summary import Figures, Part, Row, Summary

# On paper of its own, so that it can be read on a dark page as well.
STYLE: Any = {
    "svg.hashsalt": "shmetrics",
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 11,
    "figure.facecolor": "#ffffff",
    "axes.facecolor": "#ffffff",
    "axes.edgecolor": "#b0b6bd",
    "axes.labelcolor": "#3c434a",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": "#1f2328",
    "xtick.color": "#5a626b",
    "ytick.color": "#5a626b",
    "grid.color": "#e6e9ec",
    "axes.axisbelow": True,
    "legend.frameon": False,
}
OURS, THEIRS, FLOOR = "#1b6ca8", "#c9822b", "#9aa2ab"
WIDTH_IN = 7.3
ROW_IN = 0.29

Plot = Callable[[Summary], Figure | None]


_OURS, _THEIRS = "shmetrics|^compiled", "prometheus_client|stock|OSProfiler"


def colour(part: Part, row: Row) -> str:
    """Ours, another library, or something for scale."""
    if row.key == part.floor or not re.search("|".join((_OURS, _THEIRS)), row.title):
        return FLOOR
    return OURS if re.search(_OURS, row.title) else THEIRS


def quantity(unit: Unit) -> FuncFormatter:
    """Ticks as a reader says them: 10 ns, 1 µs."""

    def said(value: float, _: object) -> str:
        number, _, name = amount(value, unit).partition(" ")
        return f"{float(number):g} {name}"

    return FuncFormatter(said)


def bars(axes: Axes, part: Part) -> None:
    """A bar per contender to its median, a line over the middle half, and the median in words."""
    known = [(row, row.figures) for row in part.rows if row.figures]
    for place, (row, found) in enumerate(known):
        axes.barh(place, found.median, color=colour(part, row), height=0.62)
        axes.plot([found.low, found.high], [place, place], color="#1f2328", linewidth=1.1)
        axes.annotate(
            amount(found.median, part.unit),
            (max(found.median, found.high), place),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set_xscale("log")
    lowest = min(found.low for _, found in known)
    highest = max(found.high for _, found in known)
    axes.set_xlim(lowest / 2.5, highest * 5)
    axes.set_ylim(len(known) - 0.4, -0.6)
    axes.set_yticks(range(len(known)), [row.title.replace("`", "") for row, _ in known])
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(LogLocator(4 if part.unit == "byte" else 10, numticks=12))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(quantity(part.unit))
    axes.grid(axis="x")


def titled(figure: FigureBase, title: str) -> None:
    words = title.replace("`", "")
    figure.suptitle(words, x=0.012, ha="left", fontsize=12, fontweight="bold")


def drawing(height_in: float) -> Figure:
    figure = Figure(figsize=(WIDTH_IN, height_in))
    figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.09)
    return figure


def comparison(*groups: str) -> Plot:
    """Groups one below the other."""

    def plot(summary: Summary) -> Figure | None:
        parts = [part for key in groups if (part := summary.part(key))]
        parts = [part for part in parts if any(row.figures for row in part.rows)]
        if not parts:
            return None
        rows = [sum(1 for row in part.rows if row.figures) for part in parts]
        heights = [count * ROW_IN + 0.85 for count in rows]
        figure = drawing(sum(heights))
        places = figure.subfigures(len(parts), 1, height_ratios=heights, squeeze=False)
        for place, part in zip(places[:, 0], parts, strict=True):
            titled(place, part.title)
            bars(place.add_subplot(), part)
        return figure

    return plot


def points(part: Part, prefix: str) -> list[tuple[float, Figures]]:
    """The contenders whose key is the prefix and a number, by that number."""
    found = []
    for row in part.rows:
        number = row.key.removeprefix(prefix)
        if row.figures and row.key.startswith(prefix) and number.isdigit():
            found.append((float(number), row.figures))
    return sorted(found, key=lambda point: point[0])


def line(axes: Axes, part: Part, prefix: str, label: str, shade: str) -> None:
    found = points(part, prefix)
    if found:
        xs = [x for x, _ in found]
        axes.plot(xs, [y.median for _, y in found], "o-", color=shade, label=label, markersize=5)
        axes.fill_between(
            xs, [y.low for _, y in found], [y.high for _, y in found], color=shade, alpha=0.18, lw=0
        )


def curve(
    group: str, below: str, lines: Iterable[tuple[str, str, str]], share: bool = False
) -> Plot:
    """Medians against a number, with the middle half. below: what the number is."""

    def plot(summary: Summary) -> Figure | None:
        part = summary.part(group)
        if not part or not any(row.figures for row in part.rows):
            return None
        figure = drawing(3.4)
        titled(figure, part.title)
        axes = figure.add_subplot()
        for prefix, label, shade in lines:
            line(axes, part, prefix, label, shade)
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel(below)
        if share:
            axes.set_ylim(-0.03, 1.03)
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        else:
            axes.set_yscale("log")
            axes.yaxis.set_minor_locator(NullLocator())
            xs = sorted({x for prefix, _, _ in lines for x, _ in points(part, prefix)})
            axes.set_xticks(xs, [f"{x:,.0f}" for x in xs])
        axes.yaxis.set_major_formatter(quantity(part.unit))
        axes.grid()
        axes.legend()
        return figure

    return plot


BY_MANY = (
    ("multiprocess-", "prometheus_client multiprocess", THEIRS),
    ("", "shmetrics", OURS),
)
PLOTS: dict[str, Plot] = {
    "event": comparison("inc", "observe", "rpc"),
    "hook": comparison("hook"),
    "span": comparison("span", "resting"),
    "scrape": comparison("scrape", "http"),
    "memory": comparison("memory"),
    "spill": curve(
        "spill",
        "events per second",
        (("", "with the kick", OURS), ("tick-", "no kick: once per tick", THEIRS)),
        share=True,
    ),
    "processes": curve("processes", "processes at once", BY_MANY),
    "series": curve("series", "series in turn", BY_MANY),
}


def write(summary: Summary, folder: Path) -> None:
    """All pictures for which there are figures, into the folder."""
    with mpl.rc_context(STYLE):
        for name, plot in PLOTS.items():
            path = folder / f"{name}.svg"
            path.unlink(missing_ok=True)
            figure = plot(summary)
            if figure:
                metadata: dict[str, Any] = {"Date": None, "Description": f"of {summary.measured}"}
                figure.savefig(path, metadata=metadata)


if __name__ == "__main__":
    write(summaries.read(Path(sys.argv[1])), Path(sys.argv[2]))
