# SPDX-License-Identifier: Apache-2.0
"""A strict stand-in for Elasticsearch's bulk API: no Elasticsearch can be had where tests run.

It has a data stream in which a document is known by its time and its labels, as in a time series
data stream, and answers each document. rsyslog's omelasticsearch writes to it, too: see
tests/destinations/metrics/test_elasticsearch.py.
"""

from __future__ import annotations

import json
import ssl
from collections import deque
from typing import Any

from tests.servers.scripted import Request, Scripted

__all__ = ["BulkStandIn"]


class BulkStandIn(Scripted):
    """The stand-in; `statuses` are for the next documents instead of taking them."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.documents: list[dict[str, Any]] = []
        self.statuses: deque[int] = deque()
        self._known: set[str] = set()
        super().__init__(tls)
        self.takes = self._bulk

    def _bulk(self, request: Request) -> bytes:
        assert request.path.partition("?")[0].endswith("/_bulk"), request.path
        assert request.headers["Content-Type"].partition(";")[0] in (
            "application/x-ndjson",
            "application/json",
        )
        assert request.body.endswith(b"\n"), "the last line has to end"
        lines = request.body.decode().split("\n")[:-1]
        assert len(lines) % 2 == 0
        items = [
            self._item(action, document)
            for action, document in zip(lines[::2], lines[1::2], strict=True)
        ]
        errors = any("error" in each for item in items for each in item.values())
        return json.dumps({"took": 1, "errors": errors, "items": items}).encode()

    def _item(self, action: str, text: str) -> dict[str, Any]:
        ((name, _),) = json.loads(action).items()
        assert name in ("create", "index"), action
        document = json.loads(text, parse_constant=_not_json)
        assert isinstance(document, dict)
        status = self.statuses.popleft() if self.statuses else 201
        if status == 201 and "@timestamp" in document:
            key = json.dumps(
                [document[k] for k in sorted(document) if k != "value"], sort_keys=True
            )
            status = 409 if key in self._known else 201
            self._known.add(key)
        if status != 201:
            return {name: {"status": status, "error": {"type": "t", "reason": f"said {status}"}}}
        self.documents.append(document)
        return {name: {"status": 201, "result": "created"}}


def _not_json(text: str) -> float:
    raise AssertionError(f"{text} is not JSON")
