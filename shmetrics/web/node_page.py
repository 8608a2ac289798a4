# SPDX-License-Identifier: Apache-2.0
"""The page for people: is it working, what is slow, who is connected, what hangs."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from html import escape
from typing import Any, TypeVar

import shmetrics
from shmetrics.figures import number, seconds
from shmetrics.web.assets import ICON, SCRIPT, STYLE
from shmetrics.web.methods import Method, family_title, quantile

MAX_ROWS = 200

Row = Sequence[str]
Item = TypeVar("Item")


def hash_of(text: str) -> str:
    """A style or a script, as a content security policy names it."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


# Labels come from strangers. They are escaped, and if that failed they could still do nothing.
HEADERS = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": f"default-src 'none'; style-src {hash_of(STYLE)}; "
    f"script-src {hash_of(SCRIPT)}; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
}


def render(
    constant_labels: Mapping[str, str],
    ready: tuple[bool, str],
    methods: Sequence[Method],
    lanes: Sequence[Mapping[str, Any]],
    calls: Sequence[Mapping[str, Any]],
    has_traces: bool = False,
) -> bytes:
    """The whole page. calls: the oldest first. has_traces: there are pages for them."""
    node = ", ".join(constant_labels.values())
    good, why = ready
    method = partial(_method, has_traces)
    main = "".join(
        (
            f"<header><h1>shmetrics</h1><small>{escape(node)} · {shmetrics.__version__}</small>"
            f'<span class="state {"good" if good else "bad"}">{escape(why)}</span>'
            '<nav><a href="/metrics">metrics</a><a href="/api/v1/methods">methods</a>'
            '<a href="/api/v1/lanes">lanes</a><a href="/api/v1/calls">calls</a>',
            '<a href="/traces">traces</a></nav></header>' if has_traces else "</nav></header>",
            _figures(methods, lanes, calls),
            section("Methods", "since the store began", _METHODS, method, _busiest(methods)),
            section("Open calls", "the oldest first", _CALLS, _call, calls),
            section("Lanes", "one per process", _LANES, _lane, lanes),
        )
    )
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>shmetrics · {escape(node)}</title><link rel="icon" href="{ICON}">'
        f"<style>{STYLE}</style></head><body><main>{main}</main>"
        f"<script>{SCRIPT}</script></body></html>\n"
    )
    return html.encode("utf-8", "replace")


def _figures(
    methods: Sequence[Method],
    lanes: Sequence[Mapping[str, Any]],
    calls: Sequence[Mapping[str, Any]],
) -> str:
    figures = {
        "lanes": number(len(lanes)),
        "events": number(sum(lane["events"] for lane in lanes)),
        "calls ended": number(sum(method.ended for method in methods)),
        "open now": number(len(calls)),
        "oldest": seconds(max((call["age_seconds"] for call in calls), default=None)),
        "dropped": number(sum(lane["dropped"] for lane in lanes)),
    }
    cells = (f"<div><dt>{name}</dt><dd>{figure}</dd></div>" for name, figure in figures.items())
    return f"<dl>{''.join(cells)}</dl>"


def _busiest(methods: Sequence[Method]) -> list[Method]:
    return sorted(methods, key=lambda method: -method.started)


# Names of the columns; one that begins with > holds numbers.
_METHODS = (
    *("side", "topic", "method", ">calls", ">failed", ">open", ">oldest"),
    *(">p50", ">p99"),
)
_CALLS = ("side", "topic", "method", ">age", "process", ">pid", ">lane")
_LANES = (
    *(">lane", "process", ">pid", ">uid", "state", ">events", "ring"),
    *(">spilled", ">dropped", ">open calls"),
)


def _method(has_traces: bool, method: Method) -> Row:
    return (
        escape(family_title(method.family)),
        escape(method.topic),
        escape(method.method) + (_trace(method) if has_traces else ""),
        number(method.started),
        f'<span class="bad">{number(method.failed)}</span>' if method.failed else "0",
        number(method.in_flight),
        seconds(method.oldest_seconds if method.in_flight else None),
        seconds(quantile(0.5, method.bounds, method.buckets)),
        seconds(quantile(0.99, method.bounds, method.buckets)),
    )


def _trace(method: Method) -> str:
    """A link to what a slow one of them was."""
    return f' <a href="/traces/{method.trace}">trace</a>' if method.trace else ""


def _call(call: Mapping[str, Any]) -> Row:
    words = [family_title(call["family"]), call["topic"], call["method"]]
    owner = [call["process"], str(call["pid"]), str(call["lane"])]
    return [*map(escape, words), seconds(call["age_seconds"]), *map(escape, owner)]


def _lane(lane: Mapping[str, Any]) -> Row:
    state = "good" if lane["state"] == "open" else "bad"
    return (
        str(lane["lane"]),
        escape(lane["process"]),
        str(lane["pid"]),
        str(lane["uid"]),
        f'<span class="{state}">{escape(lane["state"])}</span>',
        number(lane["events"]),
        f'<meter value="{lane["fill"]:.3f}" high="0.8">{lane["fill"]:.0%}</meter>',
        number(lane["spilled"]),
        number(lane["dropped"]),
        number(lane["open_calls"]),
    )


def section(
    title: str,
    note: str,
    columns: Sequence[str],
    cells: Callable[[Item], Row],
    items: Sequence[Item],
) -> str:
    """A table with a row per item. cells: makes its HTML."""
    heading = f"<h2>{title} <small>{note}</small></h2>"
    if not items:
        return f'{heading}<div class="table"><p>None yet.</p></div>'
    kinds = [' class="n"' if column[0] == ">" else "" for column in columns]
    head = "".join(
        f"<th{kind}>{column.lstrip('>')}</th>" for kind, column in zip(kinds, columns, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds, row, strict=True))
        + "</tr>"
        for row in map(cells, items[:MAX_ROWS])
    )
    left_off = len(items) - MAX_ROWS
    more = f"<p>and {number(left_off)} more, in the JSON above</p>" if left_off > 0 else ""
    return (
        f'{heading}<div class="table"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>{more}</div>"
    )
