# SPDX-License-Identifier: Apache-2.0
"""The bounds of Prometheus's native histograms, and which of them a family needs."""

from __future__ import annotations

import math
from typing import NamedTuple

FINEST_SCHEMA, COARSEST_SCHEMA = 3, -4
MOST = 321  # bounds: 40 doublings of the finest schema
DOUBLINGS_BELOW, DOUBLINGS_ABOVE = 4, 1  # what is counted beyond a family's own bounds, at least

# 2**(k/8) / 2 for k = 0 ... 7, digit by digit as Prometheus has them. Some are one bit off; but a
# value belongs to the same bucket everywhere only if everybody has the same bounds.
_EIGHTHS = (
    *(0.5, 0.5452538663326288, 0.5946035575013605, 0.6484197773255048),
    *(0.7071067811865475, 0.7711054127039704, 0.8408964152537144, 0.9170040432046711),
)


class ExponentialBounds(NamedTuple):
    """Bounds in a row. Bound i is 2**(i * 2**-schema); bucket i goes from bound i - 1 to bound i.

    lowest: the first bound's index. n: how many there are.
    """

    schema: int
    lowest: int
    n: int

    def bound(self, number: int) -> float:
        """number: 0 for the lowest."""
        index = self.lowest + number
        if self.schema < 0:
            return math.ldexp(1.0, index << -self.schema)
        doubling, part = divmod(index, 1 << self.schema)
        return math.ldexp(_EIGHTHS[part << (FINEST_SCHEMA - self.schema)], doubling + 1)

    def bounds(self) -> tuple[float, ...]:
        return tuple(map(self.bound, range(self.n)))


def covering(bounds: tuple[float, ...]) -> ExponentialBounds | None:
    """As fine as may be, from well below the smallest positive bound to above the largest.

    None if there is no positive one, or there are negative values, too.
    """
    positive = [bound for bound in bounds if bound > 0]
    if not positive or bounds[0] < 0:
        return None
    low = max(_floor_log2(positive[0]) - DOUBLINGS_BELOW, -1022)  # of normal numbers
    high = min(max(_ceil_log2(positive[-1]) + DOUBLINGS_ABOVE, low + 1), 1023)
    for schema in range(FINEST_SCHEMA, COARSEST_SCHEMA, -1):
        found = _between(schema, low, high)
        if found.n <= MOST:
            return found
    return _between(COARSEST_SCHEMA, low, high)


def _between(schema: int, low: int, high: int) -> ExponentialBounds:
    """From 2**low to 2**high, or a little more where there are no such bounds."""
    if schema >= 0:
        return ExponentialBounds(schema, low << schema, ((high - low) << schema) + 1)
    first, last = low >> -schema, min(-(-high >> -schema), 1023 >> -schema)
    return ExponentialBounds(schema, first, last - first + 1)


def _floor_log2(value: float) -> int:
    return math.frexp(value)[1] - 1


def _ceil_log2(value: float) -> int:
    mantissa, exponent = math.frexp(value)
    return exponent - 1 if mantissa == 0.5 else exponent
