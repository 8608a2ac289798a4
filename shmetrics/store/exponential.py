# SPDX-License-Identifier: Apache-2.0
"""The bounds of Prometheus's native histograms, and which of them a family needs.

The source of the format is https://prometheus.io/docs/specs/native_histograms/.
"""

from __future__ import annotations

import math
from typing import NamedTuple

FINEST_SCHEMA, COARSEST_SCHEMA = 3, -4
MAX_BOUNDS = 321  # bounds of a family: 40 doublings of the finest schema
DOUBLINGS_BELOW, DOUBLINGS_ABOVE = 4, 1  # at least, beyond a family's own bounds

# 2**(k/8) / 2 for k = 0 ... 7, digit by digit as Prometheus has them. Some are one bit off, but a
# value belongs to the same bucket everywhere only if the bounds are the same everywhere.
_EIGHTHS = (
    *(0.5, 0.5452538663326288, 0.5946035575013605, 0.6484197773255048),
    *(0.7071067811865475, 0.7711054127039704, 0.8408964152537144, 0.9170040432046711),
)


class ExponentialBounds(NamedTuple):
    """Consecutive exponential bounds.

    Bucket i goes from bound i - 1 to bound i = 2**(i * 2**-schema).

    Attributes:
        schema: -4 to 8, as Prometheus counts them; here -4 to 3.
        lowest: the index i of the lowest bound.
        n: the number of bounds.
    """

    schema: int
    lowest: int
    n: int

    def bound(self, number: int) -> float:
        """Return a bound, counted from 0 for the lowest."""
        index = self.lowest + number
        if self.schema < 0:
            return math.ldexp(1.0, index << -self.schema)
        doubling, part = divmod(index, 1 << self.schema)
        return math.ldexp(_EIGHTHS[part << (FINEST_SCHEMA - self.schema)], doubling + 1)

    def bounds(self) -> tuple[float, ...]:
        """Return all bounds, rising."""
        return tuple(map(self.bound, range(self.n)))


def covering(bounds: tuple[float, ...]) -> ExponentialBounds | None:
    """Return exponential bounds over a family's own bounds, as fine as `MAX_BOUNDS` of them allow.

    They reach from `DOUBLINGS_BELOW` doublings below the smallest positive bound to at least
    `DOUBLINGS_ABOVE` doublings above the largest.

    Args:
        bounds: the family's own bounds, rising.

    Returns:
        None if no bound is positive, or one is negative.
    """
    positive = [bound for bound in bounds if bound > 0]
    if not positive or bounds[0] < 0:
        return None
    low = max(_floor_log2(positive[0]) - DOUBLINGS_BELOW, -1022)  # the least normal double
    high = min(max(_ceil_log2(positive[-1]) + DOUBLINGS_ABOVE, low + 1), 1023)
    for schema in range(FINEST_SCHEMA, COARSEST_SCHEMA, -1):
        exponential = _between(schema, low, high)
        if exponential.n <= MAX_BOUNDS:
            return exponential
    return _between(COARSEST_SCHEMA, low, high)


def _between(schema: int, low: int, high: int) -> ExponentialBounds:
    """Return the bounds from 2**low to 2**high, or a little beyond in coarse schemas."""
    if schema >= 0:
        return ExponentialBounds(schema, low << schema, ((high - low) << schema) + 1)
    first, last = low >> -schema, min(-(-high >> -schema), 1023 >> -schema)
    return ExponentialBounds(schema, first, last - first + 1)


def _floor_log2(value: float) -> int:
    """Return the exponent of the largest power of two that is not above the value."""
    return math.frexp(value)[1] - 1


def _ceil_log2(value: float) -> int:
    """Return the exponent of the smallest power of two that is not below the value."""
    mantissa, exponent = math.frexp(value)
    return exponent - 1 if mantissa == 0.5 else exponent
