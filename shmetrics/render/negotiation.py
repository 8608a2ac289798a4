# SPDX-License-Identifier: Apache-2.0
"""What a client asked for: which format, compressed or not, and which families.

Headers and query strings in, decisions out. A header that makes no sense asks for nothing special:
a scrape is answered in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from shmetrics.render import openmetrics, protobuf, text
from shmetrics.tables.table import Table

# From tables and constant labels to the body, piece by piece; see formatter.pieces.
Pieces = Callable[[Iterable[Table], Mapping[str, str]], Iterator[bytes]]


@dataclass(frozen=True)
class Format:
    """How to answer. gzip: whether the client takes the body compressed. native: whether there is a
    place for native histograms in it."""

    content_type: str
    pieces: Pieces
    gzip: bool
    native: bool = False


@dataclass(frozen=True)
class _Offer:
    """parameters: what an element has to say of each for this to be meant; None: nothing."""

    media_type: str
    parameters: Mapping[str, frozenset[str | None]]
    content_type: str
    pieces: Pieces
    native: bool = False


# The first one is the default. Who asks for OpenMetrics 0.0.1, a draft, understands 1.0.0.
_OFFERS = (
    _Offer("text/plain", {"version": frozenset({None, "0.0.4"})}, text.CONTENT_TYPE, text.pieces),
    _Offer(
        "application/openmetrics-text",
        {"version": frozenset({None, "0.0.1", "1.0.0"})},
        openmetrics.CONTENT_TYPE,
        openmetrics.pieces,
    ),
    _Offer(
        "application/vnd.google.protobuf",
        {
            "proto": frozenset({"io.prometheus.client.metricfamily"}),
            "encoding": frozenset({"delimited"}),
        },
        protobuf.CONTENT_TYPE,
        protobuf.pieces,
        native=True,
    ),
)


@dataclass(frozen=True)
class _Choice:
    """One element of an Accept or Accept-Encoding header, in lower case."""

    name: str
    parameters: Mapping[str, str]
    quality: float


def choose(accept: str, accept_encoding: str) -> Format:
    """The format for these two request headers; an absent header is the empty string."""
    offer = _choose_offer(list(_choices(accept)))
    gzip = _takes_gzip(list(_choices(accept_encoding)))
    return Format(offer.content_type, offer.pieces, gzip, offer.native)


def select(tables: Iterable[Table], names: Iterable[str]) -> list[Table]:
    """The tables whose name, or that of one of their samples, is among names. No names: all."""
    wanted = set(names)
    if not wanted:
        return list(tables)
    return [table for table in tables if wanted.intersection((table.name, *table.sample_names()))]


def _choices(header: str) -> Iterator[_Choice]:
    for element in header.split(","):
        name, *parameters = (part.strip() for part in element.split(";"))
        split = (parameter.lower().partition("=") for parameter in parameters)
        values = {key: value.strip('"') for key, _, value in split}
        yield _Choice(name.lower(), values, _quality(values.get("q", "1")))


def _quality(text: str) -> float:
    try:
        quality = float(text)
    except ValueError:
        return 0.0
    return quality if 0.0 <= quality <= 1.0 else 0.0


def _choose_offer(choices: list[_Choice]) -> _Offer:
    """The offer of the highest quality; of several the one that is asked for first."""
    best, best_rank = _OFFERS[0], (0.0, 0)
    for offer in _OFFERS:
        # The most precise element that fits an offer speaks for it, even against it.
        fits = [
            (_precision(offer, choice), choice.quality, -place)
            for place, choice in enumerate(choices)
        ]
        precision, quality, nearness = max(fits)
        if precision > 0 and (quality, nearness) > best_rank:
            best, best_rank = offer, (quality, nearness)
    return best


def _precision(offer: _Offer, choice: _Choice) -> int:
    """How precisely an element names an offer; 0: not at all."""
    if choice.name == offer.media_type:
        meant = all(
            choice.parameters.get(key) in values for key, values in offer.parameters.items()
        )
        return 3 if meant else 0
    if choice.name == offer.media_type.partition("/")[0] + "/*":
        return 2
    return 1 if choice.name == "*/*" else 0


def _takes_gzip(choices: list[_Choice]) -> bool:
    qualities = {choice.name: choice.quality for choice in choices}
    quality = qualities.get("gzip", qualities.get("*", 0.0))
    return quality > 0 and quality >= qualities.get("identity", 0.0)
