# SPDX-License-Identifier: Apache-2.0
"""`python -m benchmarks.page [SUMMARY | --newest]`: figures in the documents.

docs/performance/reference.json is the summary of the run that they are of. Given another SUMMARY,
or the newest full run in benchmarks/results/, that one takes its place. Then what stands between
`<!-- figures: WHAT -->` and `<!-- end -->` in docs/performance.md and README.md is written anew,
and so are the pictures. WHAT is the key of a group, `machine`, `targets`, `headline`, or `others`:
the groups that have no place of their own.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

from benchmarks import report, summary, targets
from benchmarks.groups import GROUPS
from benchmarks.summary import Part, Summary

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "performance"
REFERENCE = PICTURES / "reference.json"
PAGES = (ROOT / "docs" / "performance.md", ROOT / "README.md")
MARKED = re.compile(
    r"(?P<begin><!-- figures: (?P<what>[\w-]+) -->\n).*?(?P<end><!-- end -->)", re.DOTALL
)

MULTIPROCESS = "prometheus_client, multiprocess"
# What a reader in a hurry wants to know: what it is, ours, the other, and what that is.
HEADLINE = (
    ("`Counter.inc()`", "inc/collector", "inc/multiprocess", MULTIPROCESS),
    ("`Histogram.observe()`", "observe/room", "observe/multiprocess", MULTIPROCESS),
    ("an RPC: start, end, duration", "rpc/room", "rpc/multiprocess", MULTIPROCESS),
    ("an RPC at the driver", "hook/hook", "hook/stock", "oslo.messaging's own metrics"),
    ("a span of a trace", "span/compiled", "span/noop", "OSProfiler, which stores nothing"),
    ("the text of a scrape", "scrape/text", "scrape/prometheus", "prometheus_client"),
    ("import", "import-time/shmetrics", "import-time/prometheus", "prometheus_client"),
)


def headline(found: Summary) -> Iterator[str]:
    yield from report.head("", "shmetrics", "", "times")
    for what, ours, theirs, title in HEADLINE:
        one, other = targets.figures(found, ours), targets.figures(found, theirs)
        if one and other:
            cost, peer = (report.amount(each.median, "second") for each in (one, other))
            ratio = f"{other.median / one.median:,.0f}"
            yield report.line(what, cost, f"{title}: {peer}", ratio)
    if found.quick:
        yield ""
        yield "Of a quick look: rough figures."


def machine(found: Summary) -> Iterator[str]:
    kind = ", a quick look with rough figures" if found.quick else ""
    yield f"Measured {found.measured} UTC{kind}. {found.machine}"


def group(part: Part) -> Iterator[str]:
    if part.absent:
        yield f"Left out: {part.absent}."
    else:
        yield part.note
        yield ""
        yield from report.table(part)


def others(found: Summary, placed: Collection[str]) -> Iterator[str]:
    """The groups that have no place on the page yet."""
    for part in found.parts:
        if part.key not in placed:
            yield f"### {part.title}"
            yield ""
            yield from group(part)
            yield ""


def lines(what: str, found: Summary, placed: Collection[str]) -> Iterator[str]:
    """Return the lines that belong in that place of the page."""
    if what == "machine":
        yield from machine(found)
    elif what == "headline":
        yield from headline(found)
    elif what == "targets":
        yield from report.verdicts(found.verdicts)
    elif what == "others":
        yield from others(found, placed)
    elif part := found.part(what):
        yield from group(part)
    else:
        yield "Not measured in the reference run."


def filled(text: str, found: Summary) -> str:
    """The document, with the figures of this summary."""
    placed = {marked["what"] for marked in MARKED.finditer(text)}

    def fill(marked: re.Match[str]) -> str:
        body = "\n".join(lines(marked["what"], found, placed)).rstrip()
        return f"{marked['begin']}{body}\n{marked['end']}"

    return MARKED.sub(fill, text)


def newest() -> Path:
    """The latest run of all groups that was no quick look. Raises ValueError if there is none."""
    paths = summary.RESULTS.glob("*.summary.json")
    for path in sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True):
        found = summary.read(path)
        if not found.quick and all(found.part(key) for key in GROUPS):
            return path
    raise ValueError(f"no full run of all groups in {summary.RESULTS}: make bench makes one")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("summary", nargs="?", type=Path, default=REFERENCE, metavar="SUMMARY")
    parser.add_argument("--newest", action="store_true", help="take the newest full run")
    args = parser.parse_args()
    try:
        found = summary.read(newest() if args.newest else args.summary)
    except (OSError, ValueError) as error:
        print(f"no summary: {error}", file=sys.stderr)
        return 2
    from benchmarks import plots  # only here: who checks a page needs no drawing

    PICTURES.mkdir(exist_ok=True)
    summary.write(found, REFERENCE)
    for page in PAGES:
        page.write_text(filled(page.read_text(), found))
    plots.write(found, PICTURES)
    return 0


if __name__ == "__main__":
    sys.exit(main())
