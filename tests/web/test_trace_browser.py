# SPDX-License-Identifier: Apache-2.0
"""The pages of traces as a browser shows them: Chromium, a real collector, a thousand spans.

SHMETRICS_SCREENSHOTS names a folder where what was seen is kept.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.nodes.node import PATIENCE_SECONDS, Node
from tests.servers.processes import until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium; Debian has it")

QUIET = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]

# Two traces: one of a thousand spans, six levels deep, with an error and a span that does not end;
# and one of a single span.
SPANS = """
import time, uuid
from shmetrics import _ring
from shmetrics.emitter.spans import Spans

services = [Spans(name, "cloud", "node-1") for name in ("api", "conductor", "compute")]
numbers = iter(range(1, 2000))

def new():
    return str(uuid.UUID(int=next(numbers)))

def below(base, parent, depth):
    for n in range(4 if depth < 5 else 0):
        one(base, parent, depth + 1, n)

def one(base, parent, depth, n):
    global left
    if left == 0:
        return
    left = mine = left - 1
    while _ring.process_status().get("waiting", 0) > 1000:  # a full ring would cost spans
        time.sleep(0.001)
    id, service = new(), services[depth % 3]
    service.start("rpc", id, base, parent, {"function": {"name": f"build-{mine}"}})
    below(base, id, depth)
    if mine != 7:  # that one hangs
        failed = {"etype": "KeyError", "message": "gone"} if mine == 900 else None
        service.stop("rpc", id, base, parent, failed)

def trace(spans):
    global left
    left = spans
    base = new()
    while left:
        one(base, base, 0, 0)
    return base

while not shmetrics.status()["connected"]:
    trace(1)
base = trace(1000)
pause(base)
"""


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        try:
            yield browser.new_page(viewport={"width": 1300, "height": 900})
        finally:
            browser.close()


def kept(page: Page, name: str) -> None:
    folder = os.environ.get("SHMETRICS_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder, name))


def test_a_thousand_spans_in_a_browser(node: Node, page: Page) -> None:
    node.start()
    emitter = node.emitter(SPANS)
    base = emitter.said()
    spans = f"/api/v1/traces/{base}"
    until(
        lambda: len(json.loads(node.get(spans))["spans"]) == 1000,
        lambda: f"{len(json.loads(node.get(spans))['spans'])} spans",
        PATIENCE_SECONDS,
    )

    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))

    page.goto(f"{node.url}/traces?service=api")
    page.locator("input[name=min_duration_seconds]").fill("0.0001")
    page.locator("input[type=submit]").click()
    assert "service=api" in page.url
    assert "min_duration_seconds=0.0001" in page.url
    kept(page, "traces.png")
    page.locator(f"a[href='/traces/{base}']").click()

    bars = page.locator("svg.bar rect")
    expect(bars).to_have_count(1000)
    boxes = page.evaluate(
        """() => [...document.querySelectorAll("tr")].slice(1).map(row => {
            const bar = row.querySelector("svg.bar rect").getBoundingClientRect();
            const name = row.querySelector("summary svg + svg").getBoundingClientRect();
            return [bar.left, bar.right, name.left, row.getBoundingClientRect().height];
        })"""
    )
    around: list[tuple[float, float, float]] = []
    for left, right, indent, height in boxes:
        assert right > left
        assert height > 10
        around = [outer for outer in around if outer[2] < indent]
        if around:  # what is below lies within, but for what is too short to be seen
            assert around[-1][0] - 1.5 <= left
            assert right <= around[-1][1] + 1.5
        around.append((left, right, indent))
    fills = {bars.nth(n).evaluate("bar => getComputedStyle(bar).fill") for n in range(12)}
    assert len(fills) == 3  # a colour for each service
    assert page.locator("rect.failed").count() == 1
    assert page.locator("rect.open").count() == 1

    failed = page.locator("details", has_text="KeyError").first
    assert not failed.locator("pre").is_visible()
    failed.locator("summary").click()
    assert failed.locator("pre").is_visible()
    assert '"message": "gone"' in failed.locator("pre").inner_text()
    kept(page, "trace.png")

    assert {url.startswith((node.url, "data:")) for url in asked} == {True}, asked
    assert said == []
    emitter.go()
    emitter.end()
