# SPDX-License-Identifier: Apache-2.0
"""The choice of format, of names and of compression that a client asked for.

A header that makes no sense counts as missing: a scrape always gets an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from shmetrics.escaping import Escaping
from shmetrics.render import openmetrics, protobuf, text
from shmetrics.tables.table import Table

# Makes the pieces of the body from tables and constant labels; see formatter.pieces.
Pieces = Callable[[Iterable[Table], Mapping[str, str]], Iterator[bytes]]


@dataclass(frozen=True)
class Format:
    """The format of an answer.

    Attributes:
        content_type: the value of the header Content-Type.
        pieces: makes the body, of tables that have the names of `escaping`.
        gzip: compress the body.
        native: the format can contain native histograms.
        escaping: the scheme of metric and label names.
    """

    content_type: str
    pieces: Pieces
    gzip: bool
    native: bool = False
    escaping: Escaping = Escaping.UNDERSCORES


@dataclass(frozen=True)
class _Offer:
    """A format that can be chosen.

    Attributes:
        media_type: its media type.
        parameters: by name, the values with which an element of the header means this format; None
            among them stands for a missing parameter.
        content_type: the value of the header Content-Type, without the scheme of names.
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
        "text/plain", {"version": frozenset({None, "1.0.0"})}, text.CONTENT_TYPE_1_0_0, text.pieces
    ),
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

_ESCAPINGS = {escaping.value: escaping for escaping in Escaping}


@dataclass(frozen=True)
class _Choice:
    """One element of an Accept or Accept-Encoding header, in lower case."""

    name: str
    parameters: Mapping[str, str]
    quality: float


def choose(accept: str, accept_encoding: str, created: bool = False) -> Format:
    """Return the format for two headers of a request.

    Args:
        accept: the header Accept, "" if it is missing.
        accept_encoding: the header Accept-Encoding, "" if it is missing.
        created: OpenMetrics has _created samples.
    """
    choices = list(_choices(accept))
    offer, choice = _choose_offer(choices)
    escaping = _escaping(offer, choice, choices)
    content_type = offer.content_type
    # Readers of 0.0.4 that ask for nothing else know no such parameter.
    if content_type != text.CONTENT_TYPE or escaping is not Escaping.UNDERSCORES:
        content_type += f"; escaping={escaping.value}"
    pieces = offer.pieces
    if created and pieces is openmetrics.pieces:
        pieces = openmetrics.pieces_with_created
    gzip = _takes_gzip(list(_choices(accept_encoding)))
    return Format(content_type, pieces, gzip, offer.native, escaping)


def _escaping(offer: _Offer, choice: _Choice | None, choices: list[_Choice]) -> Escaping:
    """Return the scheme of names that a client understands.

    Args:
        offer: the chosen format.
        choice: the element of the header Accept that it was chosen for; None if there is none.
        choices: all elements.
    """
    asked = [choice] if choice is not None else []
    if offer.native:  # Prometheus names the scheme beside its text formats only, and means all
        asked += choices
    found = (_ESCAPINGS.get(each.parameters.get("escaping", "")) for each in asked)
    return next(filter(None, found), Escaping.UNDERSCORES)


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


def _choose_offer(choices: list[_Choice]) -> tuple[_Offer, _Choice | None]:
    """Return the offer of the highest quality; among equals, the one that is asked for first.

    Returns:
        The offer, and the element that asks for it; the default and None if no element does.
    """
    best: tuple[_Offer, _Choice | None] = _OFFERS[0], None
    best_rank = (0.0, 0)
    for offer in _OFFERS:
        # The most precise element for an offer gives its quality, even if that is 0.
        fits = [
            (_precision(offer, choice), choice.quality, -place)
            for place, choice in enumerate(choices)
        ]
        precision, quality, nearness = max(fits)
        if precision > 0 and (quality, nearness) > best_rank:
            best, best_rank = (offer, choices[-nearness]), (quality, nearness)
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
