# SPDX-License-Identifier: Apache-2.0
"""The choice of format, compression and families that a client asked for.

A header that makes no sense counts as missing: a scrape always gets an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from shmetrics.render import openmetrics, protobuf, text
from shmetrics.tables.table import Table

# Makes the pieces of the body from tables and constant labels; see formatter.pieces.
Pieces = Callable[[Iterable[Table], Mapping[str, str]], Iterator[bytes]]


@dataclass(frozen=True)
class Format:
    """The format of an answer.

    Attributes:
        content_type: the value of the header Content-Type.
        pieces: makes the body.
        gzip: compress the body.
        native: the format can contain native histograms.
    """

    content_type: str
    pieces: Pieces
    gzip: bool
    native: bool = False


@dataclass(frozen=True)
class _Offer:
    """A format that can be chosen.

    Attributes:
        media_type: its media type.
        parameters: by name, the values with which an element of the header means this format; None
            among them stands for a missing parameter.
        content_type: the value of the header Content-Type.
        pieces: makes the body.
        native: the format can contain native histograms.
    """

    media_type: str
    parameters: Mapping[str, frozenset[str | None]]
    content_type: str
    pieces: Pieces
    native: bool = False


# The first one is the default. Clients that ask for OpenMetrics 0.0.1, a draft, understand 1.0.0.
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
    """Return the format for two headers of a request.

    Args:
        accept: the header Accept, "" if it is missing.
        accept_encoding: the header Accept-Encoding, "" if it is missing.
    """
    offer = _choose_offer(list(_choices(accept)))
    gzip = _takes_gzip(list(_choices(accept_encoding)))
    return Format(offer.content_type, offer.pieces, gzip, offer.native)


def select(tables: Iterable[Table], names: Iterable[str]) -> list[Table]:
    """Return the tables with one of these names, of themselves or of their samples.

    Without names, all tables are returned.
    """
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
    """Return the offer of the highest quality; among equals, the one that is asked for first."""
    best, best_rank = _OFFERS[0], (0.0, 0)
    for offer in _OFFERS:
        # The most precise element for an offer gives its quality, even if that is 0.
        fits = [
            (_precision(offer, choice), choice.quality, -place)
            for place, choice in enumerate(choices)
        ]
        precision, quality, nearness = max(fits)
        if precision > 0 and (quality, nearness) > best_rank:
            best, best_rank = offer, (quality, nearness)
    return best


def _precision(offer: _Offer, choice: _Choice) -> int:
    """Return how precisely an element names an offer, from 0 (not at all) to 3."""
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
