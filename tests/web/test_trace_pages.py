# SPDX-License-Identifier: Apache-2.0
"""The pages of traces: what they show, and that spans are text in them and nothing else."""

from __future__ import annotations

import re
import sys
import uuid
from html.parser import HTMLParser
from typing import Any

import pytest

from shmetrics.traces.reader import StoredSpan, Trace
from shmetrics.web import trace_pages
from shmetrics.web.security_policy import hash_of
from tests.web.test_node_page import EVIL

BASE = str(uuid.UUID(int=1000))
TRACE = uuid.UUID(BASE).bytes


def span(id: int, parent: int = 1000, **more: Any) -> StoredSpan:
    found = {
        "trace": TRACE,
        "id": uuid.UUID(int=id).bytes,
        "parent": uuid.UUID(int=parent).bytes,
        "name": "rpc",
        "service": "nova",
        "project": "p",
        "host": "h",
        "start_ns": id * 1000,
        "stop_ns": id * 1000 + 500,
        "start_info": {},
        "stop_info": {},
        "exception": None,
        "is_cut": False,
        "has_died": False,
        "lane": 1,
    }
    return StoredSpan(**{**found, **more})


class Elements(HTMLParser):
    """A parser that collects the tags with their attributes, in order, and all text that is
    shown."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def bars(self) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.tags if tag == "rect" and attrs.get("height") == "14"]


def shown(*spans: StoredSpan) -> Elements:
    return Elements(trace_pages.waterfall("node-1", BASE, spans))


def test_a_bar_for_each_span_where_and_as_long_as_it_was() -> None:
    page = shown(span(1, stop_ns=11_000), span(2, 1, start_ns=2000, stop_ns=7000))
    assert [(bar["x"], bar["width"]) for bar in page.bars()] == [
        ("0.0", "1000.0"),
        ("100.0", "500.0"),
    ]
    indents = [attrs["width"] for tag, attrs in page.tags if attrs.get("height") == "1"]
    assert indents == ["0", "14"]
    assert "2 spans, 10\u202fµs" in page.text


def test_what_is_open_failed_cut_or_lost_is_said() -> None:
    page = shown(
        span(1, stop_ns=None),
        span(2, 1, exception="ValueError", stop_info={"message": "no"}),
        span(3, 77, is_cut=True),
        span(4, 1, stop_ns=None, has_died=True),
    )
    classes = [str(bar["class"]).split()[1:] for bar in page.bars()]
    assert classes == [["open"], ["failed"], ["open"], []]
    for said in ("open", "ValueError", "process died", "its parent is not here, cut"):
        assert said in page.text


def test_nothing_that_a_span_says_becomes_a_part_of_the_page() -> None:
    evil: dict[str, Any] = {
        "name": EVIL,
        "service": EVIL,
        "host": EVIL,
        "exception": EVIL,
        "project": EVIL,
    }
    page = shown(span(1, **evil, start_info={EVIL: [EVIL]}))
    assert not [tag for tag, _ in page.tags if tag == "script"]
    assert page.text.count("<script>") == 8
    listing = Elements(
        trace_pages.listing(EVIL, {"service": EVIL}, [Trace(TRACE, 0, 1, 1, 0, 0, 0, EVIL, EVIL)])
    )
    assert not [tag for tag, _ in listing.tags if tag == "script"]
    (service,) = [attrs for _, attrs in listing.tags if attrs.get("name") == "service"]
    assert service["value"] == EVIL


def test_a_span_is_shown_with_what_it_did_and_for_how_long_its_trace_was_idle() -> None:
    start = {"request": {"method": "GET", "path": f"/{EVIL}"}, "idle_seconds": 32.5}
    page = shown(span(1, start_info=start, stop_info={"response": {"status_code": 404}}))
    assert f"GET /{EVIL} 404" in page.text
    assert "its trace was idle for 32.5" in page.text


def test_nothing_comes_from_another_host_and_the_policy_says_so() -> None:
    for page in (
        trace_pages.waterfall("n", BASE, [span(1)]),
        trace_pages.listing("n", {}, [Trace(TRACE, 0, 1, 1, 0, 0, 0, "rpc", "nova")]),
    ):
        text = page.decode().replace("xmlns='http://www.w3.org/2000/svg'", "")
        assert not re.findall(r"https?://|//[a-z]|style=", text)
        (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
        assert f"style-src {hash_of(style)};" in trace_pages.HEADERS["content-security-policy"]


@pytest.mark.slow
def test_a_thousand_spans_and_more() -> None:
    page = shown(*(span(id, 1 if id > 1 else 1000) for id in range(1, 1001)))
    assert len(page.bars()) == 1000
    page = shown(*(span(id) for id in range(1, trace_pages.MAX_SPANS + 8)))
    assert len(page.bars()) == trace_pages.MAX_SPANS
    assert "and 7 more" in page.text


def test_a_trace_that_there_is_not() -> None:
    assert "There is no such trace" in shown().text


def test_the_list_keeps_what_it_was_narrowed_by() -> None:
    asked = {"service": "nova", "min_duration_seconds": "0.5", "error": "1", "limit": "7"}
    page = Elements(trace_pages.listing("n", asked, []))
    fields = {
        attrs["name"]: attrs for tag, attrs in page.tags if tag == "input" and "name" in attrs
    }
    assert {name: fields[name].get("value") for name in asked} == asked
    assert "checked" in fields["error"]
    assert "None yet." in page.text


def test_a_service_has_its_colour_on_every_page() -> None:
    alone = {name: trace_pages.colours_of([name])[name] for name in map(str, range(100))}
    assert set(alone.values()) == set(range(trace_pages.COLOURS))
    assert trace_pages.colours_of(["nova", "nova"]) == trace_pages.colours_of(["nova"])


def test_services_of_one_page_share_no_colour_while_there_are_enough() -> None:
    names = [f"service-{number}" for number in range(trace_pages.COLOURS + 1)]
    found = trace_pages.colours_of(names[:-1])
    assert set(found.values()) == set(range(trace_pages.COLOURS))
    assert set(trace_pages.colours_of(names)) == set(names)


@pytest.mark.slow
def test_a_trace_may_be_deeper_than_the_stack() -> None:
    deep = sys.getrecursionlimit() + 1000
    page = shown(*(span(id, id - 1 if id > 1 else 1000) for id in range(1001, 1001 + deep)))
    assert len(page.bars()) == deep
