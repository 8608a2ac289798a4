# SPDX-License-Identifier: Apache-2.0
"""Elasticsearch: a document per sample, created in a data stream by its bulk API.

    {"create":{}}
    {"@timestamp":"…","metric":"x_bucket","le":"0.5","labels":{"topic":"compute"},"value":5.0}

https://www.elastic.co/guide/en/elasticsearch/reference/8.x/docs-bulk.html. Each document has an
answer of its own. In a time series data stream, what has the same time and labels is the same
document, so that one which is there already has arrived.
"""

from __future__ import annotations

from datetime import datetime, timezone
from itertools import compress
from typing import Final

import msgspec

from shmetrics.config.metrics_forward import MetricsForward
from shmetrics.destinations.metrics.columns import Column
from shmetrics.destinations.metrics.encoder import Encoded, Part, whole
from shmetrics.destinations.metrics.http_sender import HttpSender, Protocol
from shmetrics.destinations.metrics.packing import Text, packed
from shmetrics.destinations.metrics.row_text import RowTexts
from shmetrics.destinations.metrics.snapshot import Additions, Snapshot
from shmetrics.forwarding.sender import Outcome, Refused, TryAgain
from shmetrics.http_client import Answer
from shmetrics.render import _lines

_ACTION: Final = b'{"create":{}}\n'
_CREATED, _IS_THERE, _TOO_MANY = 201, 409, 429
# Of the answer this is enough.
_QUERY: Final = "filter_path=errors,items.*.status,items.*.error.reason"
_MOST_ANSWER_BYTES: Final = 16 * 1024 * 1024


def label(name: str, value: str) -> bytes:
    """Return a label as a member of a JSON object."""
    return b"%s:%s" % (_json(name), _json(value))


def _json(text: str) -> bytes:
    return msgspec.json.encode(text.encode("utf-8", "replace").decode())


class Elasticsearch:
    """The format of the bulk API. A number that is none, or has no end, is left out."""

    def __init__(self, additions: Additions) -> None:
        """Choose what is added to names and series."""
        self._prefix = additions.prefix
        self._labels = RowTexts(label, additions.labels, b",")

    def encode(self, snapshot: Snapshot) -> Encoded:
        """Return the parts of a snapshot; see Encoder."""
        seconds, rest_ns = divmod(snapshot.time_ns, 10**9)
        at = datetime.fromtimestamp(seconds, timezone.utc)
        stamp = f"{at:%Y-%m-%dT%H:%M:%S}.{rest_ns // 10**6:03}Z"
        text = Text(snapshot, self._labels, lambda column: self._line(column, stamp))
        parts = [whole(b"".join(pack.pieces), pack.n, snapshot) for pack in packed(text.pieces())]
        return Encoded(parts, text.n_unfit)

    def _line(self, column: Column, stamp: str) -> _lines.Line:
        le = b',"le":' + _json(column.le) if column.le else b""
        said = _json(stamp), _json(self._prefix + column.name), le
        before = _ACTION + b'{"@timestamp":%s,"metric":%s%s,"labels":{' % said
        return _lines.Line(before, b'},"value":', b"", b"}\n")


class _Error(msgspec.Struct):
    reason: str = ""


class _Created(msgspec.Struct):
    status: int = 0
    error: _Error | None = None


class _Item(msgspec.Struct):
    create: _Created


class _Answer(msgspec.Struct):
    errors: bool
    items: list[_Item] = []


_decoder: Final = msgspec.json.Decoder(_Answer)


def outcome_of(part: Part, answer: Answer) -> Outcome:
    """Return what became of the documents of a part.

    Raises:
        TryAgain: some have to be sent again.
        Refused: the answer is not Elasticsearch's.
    """
    try:
        found = _decoder.decode(answer.body)
    except msgspec.DecodeError:
        raise Refused("an answer that is not Elasticsearch's") from None
    if not found.errors:
        return Outcome()
    if len(found.items) != part.n:
        raise Refused(f"{len(found.items)} answers for {part.n} documents")
    results = [item.create for item in found.items]
    again = [_is_temporary(result.status) for result in results]
    refused = [
        result
        for result, is_temporary in zip(results, again, strict=True)
        if not (is_temporary or result.status // 100 == 2 or result.status == _IS_THERE)
    ]
    n_again = sum(again)
    if n_again:
        why = next(compress(results, again))
        left = part.rest(_documents(part.content, again), n_again)
        raise TryAgain(_said(why), left=[left], refused=len(refused))
    why_refused = _said(refused[0]) if refused else ""
    return Outcome(refused=len(refused), why=why_refused)


def _is_temporary(status: int) -> bool:
    return status == _TOO_MANY or status // 100 == 5


def _said(result: _Created) -> str:
    return f"{result.status}: {result.error.reason if result.error else ''}"


def _documents(content: bytes, wanted: list[bool]) -> bytes:
    """Return those documents of a request that are wanted, each with its action."""
    documents = content.split(b"\n")[1::2]
    return b"".join(_ACTION + each + b"\n" for each in compress(documents, wanted))


PROTOCOL: Final = Protocol(
    {"Content-Type": "application/x-ndjson", "User-Agent": "shmetrics"},
    temporary=_is_temporary,
    outcome=outcome_of,
    most_answer_bytes=_MOST_ANSWER_BYTES,
)


def sender_of(settings: MetricsForward) -> HttpSender:
    """Return the sender of a destination. Raises ConfigError."""
    return HttpSender(settings, PROTOCOL, f"{settings.destination.path.rstrip('/')}/_bulk?{_QUERY}")
