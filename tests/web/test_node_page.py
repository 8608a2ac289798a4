# SPDX-License-Identifier: Apache-2.0
"""The page of the node: what it shows, and that labels are text in it and nothing else."""

import base64
import hashlib
import html
import re
from collections import Counter
from html.parser import HTMLParser
from typing import Any

import pytest

from shmetrics import figures
from shmetrics.forwarding.report import Counts, Report
from shmetrics.tables.units import UnitMetric, UnitRow
from shmetrics.web.node_page import render
from shmetrics.web.templates import MAX_ROWS
from tests.web.conftest import call_tables

EVIL = "<script>alert('&\"1')</script>"


def lane(number: int, **other: object) -> dict[str, object]:
    return {
        "lane": number, "process": "nova-compute", "pid": 42, "pid_label": "42", "uid": 1000,
        "state": "open", "halt": None,
        "events": 1234567, "fill": 0.25, "spilled": 3, "dropped": 0, "open_calls": 1,
        "refusals": [], "overflows": [], **other,
    }  # fmt: skip


def call(**other: object) -> dict[str, object]:
    return {
        "family": "oslo_messaging_rpc_server", "side": "server", "topic": "compute",
        "method": "build", "labels": {}, "server": "host-a", "age_seconds": 75.0,
        "timeout_seconds": 60.0, "is_overdue": True, "lateness": "its client has given up",
        "unanswered_by": "", "trace": None, "lane": 1, "process": "nova-compute",
        "pid": 42, "pid_label": "42", **other,
    }  # fmt: skip


class Cells(HTMLParser):
    """A parser that collects all tags, and the text of the table cells, row by row."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.rows: list[list[str]] = []
        self.in_cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.in_cell = True
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.in_cell = False

    def handle_data(self, data: str) -> None:
        if self.in_cell:
            self.rows[-1][-1] += data


def test_an_empty_collector_has_a_page(site: Any) -> None:
    answer = site.ask("/")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.text.count("None yet.") == 2
    assert answer.text.count("None now.") == 1
    assert '<span class="state good">ready</span>' in answer.text


def test_it_shows_methods_lanes_and_calls(site: Any, source: Any, rpc_tables: Any) -> None:
    source.the_tables = rpc_tables
    source.the_lanes = [lane(1), lane(2, state="quarantined")]
    source.the_calls = [call()]
    source.the_readiness = (False, "stopping")
    page = site.ask("/").text
    assert '<span class="state bad">stopping</span>' in page
    rows = [[cell.replace("\u202f", " ") for cell in row] for row in Cells(page).rows]
    assert ["rpc client", "compute", "build", "6", "0", "0", "—", "325 ms", "1 s"] in rows
    late = ["75 s", "60 s", "its client has given up"]
    assert ["rpc server", "compute", "build", "host-a", *late, "nova-compute", "42", "1"] in rows
    assert ["2", "nova-compute", "42", "1000", "quarantined", "1 234 567", "25%", "3", "0", "1"] \
        in rows  # fmt: skip


def test_labels_are_escaped(site: Any, source: Any) -> None:
    source.the_tables = call_tables(f"{EVIL}", [((EVIL, EVIL, "a"), [1, 1, 1, 0, 0, 0])])
    source.the_lanes = [lane(1, process=EVIL, state=EVIL)]
    source.the_calls = [call(process=EVIL, topic=EVIL, method=EVIL, family=EVIL)]
    source.the_readiness = (True, EVIL)
    page = site.ask("/").text
    assert EVIL not in page
    cells = Cells(page)
    assert cells.tags.count("script") == 1
    assert sum(cell == EVIL for row in cells.rows for cell in row) == 9


def test_the_nodes_name_is_escaped() -> None:
    page = render({"hostname": EVIL}, (True, "ready"), [], [], []).decode()
    assert EVIL not in page
    assert html.unescape(page).count(EVIL) == 2


def test_who_does_not_answer_and_what_has_failed(site: Any, source: Any) -> None:
    source.the_calls = [call(unanswered_by="nova-compute (pid 42) is stopped")]
    halt = {"state": "stopped", "cause": "a signal has stopped it", "seen_seconds": 41.0}
    source.the_lanes = [lane(1, halt=halt), lane(2, halt=halt, state="quarantined")]
    failed = {**call(), "reason": "MessagingTimeout", "end": 1.5, "seconds": 60.0}
    source.the_failed_calls = [failed] * 30
    rows = Cells(site.ask("/").text).rows
    late = [row[6] for row in rows if len(row) > 6 and "given up" in row[6]]
    assert late == ["its client has given up; nova-compute (pid 42) is stopped"]
    states = [row[4] for row in rows if row[1:2] == ["nova-compute"]]
    assert states == ["stopped", "quarantined"]
    shown = [row for row in rows if "MessagingTimeout" in row]
    assert len(shown) == 20
    assert shown[0][0] == "1970-01-01 00:00:01.500"


def test_nothing_but_its_own_script_and_style_may_run(site: Any) -> None:
    answer = site.ask("/")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for element in ("script", "style"):
        (content,) = re.findall(f"<{element}>(.*?)</{element}>", answer.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy
    assert not re.findall(r" (?:style|on\w+)=", answer.text)
    assert not re.findall(r'(?:src|href)="(?!/|data:)', answer.text)


def test_a_long_list_is_cut(site: Any, source: Any) -> None:
    source.the_calls = [call()] * (MAX_ROWS + 1234)
    page = site.ask("/").text
    assert len(Cells(page).rows) == MAX_ROWS + 1
    assert "and 1\u202f234 more" in page


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "—"),
        (0.0, "0 µs"),
        (0.0000123, "12.3 µs"),
        (0.00325, "3.25 ms"),
        (0.5, "500 ms"),
        (1.0, "1 s"),
        (75.25, "75.2 s"),
        (123456.0, "123 456 s"),
    ],
)
def test_durations(value: float | None, text: str) -> None:
    assert figures.seconds(value).replace("\u202f", " ") == text


def test_units_are_shown_where_there_are_any() -> None:
    ready = (True, "ready")
    nothing = render({}, ready, [], [], []).decode()
    assert "Units" not in nothing
    assert "/api/v1/units" not in nothing
    units = [
        UnitRow("systemd", "web", "/web", cpu_seconds=0.5, memory_bytes=3 * 2**20, processes=2),
        UnitRow("container", EVIL, "/" + EVIL, cpu_seconds=7.0, oom_kills=1, read_bytes=2048),
    ]
    text = render({}, ready, [], [], [], units=units).decode()
    cells = Cells(text)
    narrow = figures.NARROW_SPACE
    none = figures.NONE
    first, second = [row for row in cells.rows if row[0] in ("systemd", "container")]
    assert first == [
        *("container", EVIL, f"7{narrow}s", none, none, none, f"2{narrow}KiB", none, "1"),
    ]
    assert second == [
        *("systemd", "web", f"500{narrow}ms", f"3{narrow}MiB", none, "2", none, none, "0"),
    ]
    assert EVIL not in text
    assert "/api/v1/units" in text


@pytest.mark.parametrize(
    ("n_bytes", "shown"),
    [(None, "—"), (0, "0 B"), (999, "999 B"), (1000, "0.977 KiB"), (2**30, "1 GiB"),
     (5e15, "4.55e+03 TiB")],
)  # fmt: skip
def test_sizes_for_people(n_bytes: float | None, shown: str) -> None:
    assert figures.size(n_bytes).replace(figures.NARROW_SPACE, " ") == shown


def test_destinations_are_shown_where_there_are_any() -> None:
    ready = (True, "ready")
    assert "estinations" not in render({}, ready, [], [], []).decode()
    counts = Counts(7, 3, 2, Counter(refused=1, queue=1), 2048, 5)
    reports = [
        Report("graphite://h", "series", counts, 2**20, EVIL, 75.0, n_unfit=4),
        Report("otlp://h", "spans", Counts(1, 1, 0, Counter(), 0, 0), 2**20),
    ]
    destinations = [report.plain() for report in reports]
    text = render({}, ready, [], [], [], destinations=destinations).decode()
    rows = [[cell.replace("\u202f", " ") for cell in row] for row in Cells(text).rows]
    first = ["series", "graphite://h", "3", "2", "2 KiB", "1 MiB", "1 queue 1 refused 4 unfit "]
    assert [*first, "5", "75 s", EVIL] in rows
    assert ["spans", "otlp://h", "1", "0", "0 B", "1 MiB", "0", "0", "—", ""] in rows
    assert EVIL not in text
    assert 'href="/api/v1/destinations"' in text


def test_what_units_say_is_drawn_as_their_manifests_want() -> None:
    metrics = [
        UnitMetric("gear", "a", "uptime", "Uptime <h>", "line", 12.5),
        UnitMetric("gear", "a", "jobs", "Jobs", "bar", 5.0),
        UnitMetric("gear", "b", "jobs", "Jobs", "bar", 10.0),
        UnitMetric("gear", "b", "zero", "Zero", "gauge", 0.0),
        UnitMetric("gear", "b", "more", "More", "pie", 1.0),
    ]
    text = render({}, (True, "ready"), [], [], [], unit_metrics=metrics).decode()
    rows = [row for row in Cells(text).rows if row[0] == "gear"]
    assert [row[1:4] for row in rows] == [
        ["a", "Uptime <h>", "12.5"],
        ["a", "Jobs", "5"],
        ["b", "Jobs", "10"],
        ["b", "Zero", "0"],
        ["b", "More", "1"],
    ]
    assert 'data-line="gear a uptime" data-value="12.5"' in text
    assert re.findall(r'<meter value="([\d.]+)"', text) == ["0.500", "1.000"]
    assert "What units say" not in render({}, (True, "ready"), [], [], []).decode()
