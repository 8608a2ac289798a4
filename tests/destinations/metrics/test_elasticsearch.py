# SPDX-License-Identifier: Apache-2.0
"""Elasticsearch's bulk API, against a strict stand-in that rsyslog's omelasticsearch satisfies."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.bulk import BulkStandIn
from tests.servers.ports import ReservedPort
from tests.servers.processes import until
from tests.servers.rsyslog import Rsyslog, lacking

from .conftest import Driven
from .scraped import SECONDS, Key, all_kinds, gauge, scraped, wanted

INDEX = "metrics-shmetrics-default"


@pytest.fixture
def bulk() -> Iterator[BulkStandIn]:
    server = BulkStandIn()
    yield server
    server.close()


def to_bulk(bulk: BulkStandIn, **options: Any) -> Any:
    return wanted(f"elasticsearch+{bulk.url}/{INDEX}", **options)


def samples_of(bulk: BulkStandIn) -> dict[Key, float]:
    """Return the samples of all documents, which may be there once each."""
    found: dict[Key, float] = {}
    for document in bulk.documents:
        labels = dict(document["labels"])
        if "le" in document:
            labels["le"] = document["le"]
        key = document["metric"], tuple(sorted(labels.items()))
        assert key not in found
        found[key] = document["value"]
    return found


def test_every_value_is_that_of_a_scrape(driven: Callable[..., Driven], bulk: BulkStandIn) -> None:
    destinations = driven(to_bulk(bulk))
    tables = [*all_kinds(), gauge("odd", (math.inf, math.nan))]
    destinations.take(tables)
    report = destinations.arrives()
    expected = {key: value for key, value in scraped(tables).items() if math.isfinite(value)}
    assert samples_of(bulk) == expected
    assert {each["@timestamp"] for each in bulk.documents} == {"2023-11-14T22:13:21.000Z"}
    assert {request.path.partition("?")[0] for request in bulk.requests} == {f"/{INDEX}/_bulk"}
    assert (report.counts.sent, report.n_unfit, report.counts.lost) == (len(expected), 2, {})


def test_each_document_has_an_answer(driven: Callable[..., Driven], bulk: BulkStandIn) -> None:
    """Check that what is there has arrived, what may be taken later is sent again, alone, and the
    rest is refused."""
    bulk.statuses.extend([409, 429, 400, 503])
    destinations = driven(to_bulk(bulk))
    destinations.take(all_kinds())
    counts = destinations.arrives().counts
    assert (counts.put, counts.sent, counts.lost) == (18, 17, {"refused": 1})
    assert (counts.retries, len(bulk.requests)) == (1, 2)
    assert bulk.requests[1].body.count(b"\n") == 4
    assert len(bulk.documents) == 16


@pytest.mark.parametrize("answer", [b"", b"<html>", b'{"errors":true,"items":[]}'])
def test_an_answer_that_is_none_is_no_arrival(
    driven: Callable[..., Driven], bulk: BulkStandIn, answer: bytes
) -> None:
    bulk.takes = lambda request: answer
    destinations = driven(to_bulk(bulk))
    destinations.take([gauge()])
    counts = destinations.arrives().counts
    assert (counts.sent, counts.lost) == (0, {"refused": 3})


@pytest.mark.skipif(bool(lacking()), reason=lacking())
def test_the_stand_in_is_good_enough_for_rsyslog(bulk: BulkStandIn, tmp_path: Path) -> None:
    reserved = ReservedPort()
    server = Rsyslog(
        tmp_path,
        f"""
        module(load="imtcp")
        module(load="omelasticsearch")
        input(type="imtcp" address="127.0.0.1" port="{reserved.number}")
        template(name="document" type="string" string="{{\\"msg\\":\\"%msg:::json%\\"}}")
        action(type="omelasticsearch" server="127.0.0.1" serverport="{bulk.port}"
               template="document" searchIndex="{INDEX}" searchType=""
               bulkmode="on" writeoperation="create" bulkid="id"
               dynbulkid="off" errorfile="{tmp_path}/errors")
        """,
    )
    try:
        with socket.create_connection(("127.0.0.1", reserved.number)) as sock:
            sock.sendall(b"<14>1 - node app - - - hello\n")
        until(lambda: bulk.documents, lambda: server.log.read_text(), SECONDS)
        assert bulk.documents[0] == {"msg": "hello"}
    finally:
        server.stop()
        reserved.release()
