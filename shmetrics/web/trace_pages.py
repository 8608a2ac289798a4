# SPDX-License-Identifier: Apache-2.0
"""The pages of traces: a list that can be narrowed, and the waterfall of one.

There is no script in them, and nothing from another host. Where a bar begins and how long it is are
attributes of SVG, because the policy of these pages allows no styles but their own.
"""

from __future__ import annotations

import json
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

from shmetrics.figures import number, seconds
from shmetrics.traces.reader import StoredSpan, Trace
from shmetrics.traces.times import iso
from shmetrics.traces.tree import Node, State, tree
from shmetrics.web import node_page
from shmetrics.web.assets import ICON, STYLE

MOST_SPANS = 5000
COLOURS = 8
_WIDTH = 1000  # of the time axis, in units of its own

TRACE_STYLE = (
    STYLE
    + """
form { display: flex; flex-wrap: wrap; gap: 8px 14px; align-items: center; margin: 18px 0;
  font-size: 14px; color: var(--soft); }
input { font: inherit; color: var(--ink); background: var(--card); border: 1px solid var(--line);
  border-radius: 6px; padding: 3px 8px; }
input[type=number] { width: 7em; }
.waterfall td { padding: 3px 10px; vertical-align: top; }
.waterfall td:nth-child(2) { width: 52%; }
.waterfall svg.bar { width: 100%; height: 14px; display: block; margin-top: 4px; }
.waterfall svg.bar rect { rx: 2px; }
summary { cursor: pointer; }
pre { margin: 4px 0 8px; font-size: 12px; white-space: pre-wrap; overflow-wrap: anywhere;
  max-width: 60em; color: var(--soft); }
.c0 { fill: #4f6bed; } .c1 { fill: #13a37f; } .c2 { fill: #d9822b; } .c3 { fill: #a854c4; }
.c4 { fill: #2a9bd1; } .c5 { fill: #b3a125; } .c6 { fill: #d1497f; } .c7 { fill: #6b7a90; }
.open { fill-opacity: .45; } .failed { stroke: var(--bad); stroke-width: 3px; }
"""
)

HEADERS = {
    **node_page.HEADERS,
    "content-security-policy": f"default-src 'none'; style-src {node_page.hash_of(TRACE_STYLE)}; "
    "img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
}


def listing(node: str, asked: Mapping[str, str], traces: Sequence[Trace]) -> bytes:
    """The list. asked: what it was narrowed by, as it was in the query."""
    columns = ("started", "trace", "service", ">duration", ">spans", ">open", ">errors")
    note = "the newest first"
    table = node_page.section("Traces", note, columns, _row, traces)
    return _document(node, "traces", '<a href="/">node</a>', _form(asked) + table)


def waterfall(node: str, base_id: str, spans: Sequence[StoredSpan]) -> bytes:
    """One trace: its spans as bars below each other, and what is known of each on demand."""
    links = f'<a href="/traces">traces</a><a href="/api/v1/traces/{quote(base_id)}">JSON</a>'
    if not spans:
        missing = '<div class="table"><p>There is no such trace, or it was let go.</p></div>'
        return _document(node, base_id, links, missing)
    begin_ns, end_ns = _extent(spans)
    colours = colours_of(span.service for span in spans)
    rows = "".join(
        _bar(one, depth, colours[one.span.service], begin_ns, end_ns)
        for one, depth in _some(tree(spans))
    )
    left_off = len(spans) - MOST_SPANS
    more = f"<p>and {number(left_off)} more, in the JSON</p>" if left_off > 0 else ""
    body = (
        f"<h2>{escape(base_id)} <small>{number(len(spans))} spans, "
        f"{seconds((end_ns - begin_ns) / 1e9)}</small></h2>{_legend(colours)}"
        '<div class="table waterfall"><table><thead><tr><th>span</th><th>when</th>'
        f'<th class="n">duration</th></tr></thead><tbody>{rows}</tbody></table>{more}</div>'
    )
    return _document(node, base_id, links, body)


def _document(node: str, title: str, links: str, body: str) -> bytes:
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>shmetrics · {escape(title)}</title><link rel="icon" href="{ICON}">'
        f"<style>{TRACE_STYLE}</style></head><body><main><header><h1>shmetrics</h1>"
        f"<small>{escape(node)}</small><nav>{links}</nav></header>{body}</main></body></html>\n"
    )
    return text.encode("utf-8", "replace")


# ---- the list -----------------------------------------------------------------------------------


def _form(asked: Mapping[str, str]) -> str:
    def value(name: str) -> str:
        return escape(asked.get(name, ""))

    checked = " checked" if asked.get("error") else ""
    return (
        '<form action="/traces" method="get">'
        f'<label>service <input name="service" value="{value("service")}"></label>'
        '<label>at least <input name="min_duration_seconds" type="number" min="0" step="any" '
        f'value="{value("min_duration_seconds")}"> s</label>'
        f'<label><input name="error" type="checkbox" value="1"{checked}> failed</label>'
        '<label>at most <input name="limit" type="number" min="1" '
        f'value="{value("limit") or "100"}"></label>'
        "<input type=submit value=show></form>"
    )


def _row(trace: Trace) -> node_page.Row:
    base_id = str(uuid.UUID(bytes=trace.id))
    when = (iso(trace.start_ns) or "")[:23].replace("T", " ")
    errors = f'<span class="bad">{number(trace.errors)}</span>' if trace.errors else "0"
    return (
        when,
        f'<a href="/traces/{base_id}">{escape(trace.name)} <small>{base_id[:8]}</small></a>',
        escape(trace.service),
        seconds(trace.duration_ns / 1e9),
        number(trace.spans),
        number(trace.open),
        errors,
    )


# ---- the waterfall ------------------------------------------------------------------------------


def _extent(spans: Sequence[StoredSpan]) -> tuple[int, int]:
    """From the first that was heard to the last, in ns; never nothing."""
    times = [at for span in spans for at in (span.start_ns, span.stop_ns) if at is not None]
    return min(times), max(max(times), min(times) + 1)


def _some(top: Sequence[Node]) -> Iterator[tuple[Node, int]]:
    """The first of them, each before what is below it, with how deep it is."""
    left = [(node, 0) for node in reversed(top)]
    for _ in range(MOST_SPANS):
        if not left:
            return
        node, depth = left.pop()
        yield node, depth
        left.extend((child, depth + 1) for child in reversed(node.children))


def colours_of(services: Iterable[str]) -> dict[str, int]:
    """The same for a service on every page, but where that is another's already."""
    found: dict[str, int] = {}
    for service in sorted(set(services)):
        own = zlib.crc32(service.encode()) % COLOURS
        nearest = ((own + n) % COLOURS for n in range(COLOURS))
        found[service] = next((one for one in nearest if one not in found.values()), own)
    return found


def _legend(colours: Mapping[str, int]) -> str:
    return "<p>" + " ".join(f"{_swatch(c)} {escape(name)}" for name, c in colours.items()) + "</p>"


def _swatch(colour: int) -> str:
    return f'<svg width="10" height="10"><rect class="c{colour}" width="10" height="10"/></svg>'


def _bar(node: Node, depth: int, colour: int, begin_ns: int, end_ns: int) -> str:
    span = node.span
    start_ns = span.start_ns if span.start_ns is not None else span.stop_ns or begin_ns
    stop_ns = span.stop_ns if span.stop_ns is not None else end_ns
    scale = _WIDTH / (end_ns - begin_ns)
    x = (start_ns - begin_ns) * scale
    width = max((stop_ns - start_ns) * scale, 2)
    kinds = [f"c{colour}"]
    kinds += ["open"] if span.stop_ns is None else []
    kinds += ["failed"] if span.exception else []
    duration_ns = span.duration_ns
    took = escape(node.state.value) if duration_ns is None else seconds(duration_ns / 1e9)
    return (
        f"<tr><td>{_details(node, depth, colour)}</td>"
        f'<td><svg class="bar" viewBox="0 0 {_WIDTH} 14" preserveAspectRatio="none">'
        f'<rect class="{" ".join(kinds)}" x="{min(x, _WIDTH - 2):.1f}" width="{width:.1f}" '
        f'height="14"/></svg></td><td class="n">{took}</td></tr>'
    )


def _details(node: Node, depth: int, colour: int) -> str:
    span = node.span
    indent = f'<svg width="{min(depth, 40) * 14}" height="1"></svg>'
    notes = [span.exception] if span.exception else []
    notes += [node.state.value] if node.state is not State.DONE else []
    notes += ["its parent is not here"] if node.is_orphan else []
    notes += ["cut"] if span.is_cut else []
    said = {"span": str(uuid.UUID(bytes=span.id)), "host": span.host, "project": span.project}
    known: dict[str, Any] = {**said, "start": span.start_info, "stop": span.stop_info}
    note = f' <small class="bad">{escape(", ".join(notes))}</small>' if notes else ""
    text = escape(json.dumps(known, indent=1, ensure_ascii=False))
    return (
        f"<details><summary>{indent}{_swatch(colour)} {escape(span.service)} "
        f"<b>{escape(span.name)}</b>{note}</summary><pre>{text}</pre></details>"
    )
