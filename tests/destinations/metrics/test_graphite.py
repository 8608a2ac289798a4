# SPDX-License-Identifier: Apache-2.0
"""Graphite, against a real carbon: lines and pickles, tags and paths."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shmetrics.tables.table import Table
from tests.servers.carbon import Carbon, lacking
from tests.servers.processes import until

from .conftest import Driven
from .scraped import SECONDS, Key, all_kinds, gauge, scraped, wanted

pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking())


# What a tag and a node of a path may have, as regular expressions have it.
TAG = r"A-Za-z0-9_.:/+=@()<>,[\]-"
NODE = "A-Za-z0-9_-"


@pytest.fixture(scope="module")
def carbon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Carbon]:
    server = Carbon(tmp_path_factory.mktemp("carbon"))
    yield server
    server.close()


@pytest.fixture
def own_carbon(tmp_path: Path) -> Iterator[Carbon]:
    server = Carbon(tmp_path)
    yield server
    server.close()


def escaped(text: str, allowed: str) -> str:
    """Return a text with %XX, made slowly."""
    return "".join(
        chr(byte) if re.fullmatch(f"[{allowed}]", chr(byte)) else f"%{byte:02X}"
        for byte in text.encode()
    )


def path_of(key: Key, prefix: str, tags: bool) -> str:
    """Return the path of a sample, made slowly. Carbon sorts tags; `le` is the last of nodes."""
    name, labels = key
    if tags:
        return prefix + name + "".join(f";{name}={escaped(value, TAG)}" for name, value in labels)
    parts = sorted(labels, key=lambda pair: pair[0] == "le")
    return prefix + name + "".join(f".{name}.{escaped(value, NODE)}" for name, value in parts)


@pytest.mark.parametrize("scheme", ["graphite", "graphite+pickle"])
@pytest.mark.parametrize("tags", [True, False])
def test_every_value_is_that_of_a_scrape(
    driven: Callable[..., Driven], carbon: Carbon, scheme: str, tags: bool
) -> None:
    port = carbon.line_port if scheme == "graphite" else carbon.pickle_port
    prefix = f"{scheme.replace('+', '_')}{tags}."
    to = wanted(f"{scheme}://127.0.0.1:{port}", tags=tags, prefix=prefix, labels={"zone": "z"})
    destinations = driven(to)
    tables: list[Table] = [*all_kinds(), gauge("odd", (math.inf, math.nan, -math.inf))]
    time_ns = destinations.take(tables)
    report = destinations.arrives()
    labels = {"hostname": "node-1", "zone": "z"}
    expected = {
        path_of(key, prefix, tags): [(time_ns // 10**9, value)]
        for key, value in scraped(tables, labels).items()
        if math.isfinite(value)
    }
    until(
        lambda: len(carbon.values(expected)) == len(expected),
        lambda: f"{sorted(expected.keys() - carbon.values(expected))} of {report} are not there",
        10,
    )
    assert carbon.values(expected) == expected
    assert (report.counts.put, report.counts.sent) == (len(expected), len(expected))
    assert (report.n_unfit, report.counts.lost) == (3, {})


def test_what_waits_for_a_carbon_that_is_away_arrives_once_it_is_back(
    driven: Callable[..., Driven], own_carbon: Carbon
) -> None:
    carbon = own_carbon
    destinations = driven(wanted(f"graphite://127.0.0.1:{carbon.line_port}", prefix="away."))
    carbon.stop()
    times = [destinations.take([gauge()]) // 10**9 for _ in range(3)]
    until(lambda: destinations.report.counts.retries >= 1, lambda: "no try", SECONDS)
    assert destinations.report.counts.waiting == 9
    carbon.start()
    assert destinations.arrives().counts.sent == 9
    path = "away.depth;hostname=node-1;queue=q2"
    until(lambda: len(carbon.values([path]).get(path, [])) == 3, lambda: "not all", SECONDS)
    assert carbon.values([path]) == {path: [(second, 1e7) for second in times]}
