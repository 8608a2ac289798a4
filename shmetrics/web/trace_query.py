# SPDX-License-Identifier: Apache-2.0
"""The question of a request for traces, read from its query and its path."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping

from shmetrics.traces.reader import Query

MAX_TRACES = 10_000  # in one answer
DEFAULT_TRACES = 100


class BadQuery(ValueError):
    """An error: a parameter means nothing. The text names it."""


def query_of(parameters: Mapping[str, str]) -> Query:
    """Read the parameters of a list of traces.

    Args:
        parameters: limit, service, min_duration_seconds, error, since and until, the last two as
            Unix seconds. Each may be missing.

    Raises:
        BadQuery: A number cannot be read, or does not fit into 64 bits of nanoseconds.
    """
    least = _number(parameters, "min_duration_seconds")
    limit = _number(parameters, "limit")
    since, until = _number(parameters, "since"), _number(parameters, "until")
    return Query(
        since_ns=None if since is None else int(since * 1e9),
        until_ns=None if until is None else int(until * 1e9),
        service=parameters.get("service"),
        least_duration_ns=None if least is None else int(least * 1e9),
        failed=parameters.get("error", "") not in ("", "0", "false"),
        limit=DEFAULT_TRACES if limit is None else min(max(int(limit), 0), MAX_TRACES),
    )


def _number(parameters: Mapping[str, str], name: str) -> float | None:
    text = parameters.get(name)
    if text is None or text == "":
        return None
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not abs(found) < 2**33:  # as nanoseconds it has to fit into 64 bits; NaN fails as well
        raise BadQuery(f"{name}={text!r} is no number of seconds, or of traces")
    return found


def id_of(text: str) -> bytes:
    """Return the 16 bytes of a base id.

    Raises:
        BadQuery: The text is no UUID.
    """
    try:
        return uuid.UUID(text).bytes
    except ValueError:
        raise BadQuery(f"{text!r} is no UUID") from None
