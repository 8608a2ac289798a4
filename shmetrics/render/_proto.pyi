# SPDX-License-Identifier: Apache-2.0
import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

from shmetrics.tables.table import Native

COUNTER: int
GAUGE: int
UNTYPED: int

class Metrics:
    def __len__(self) -> int: ...
    def measure(self, ends: Buffer) -> int: ...
    def piece(
        self, labels: Buffer, ends: Buffer, row: int, most_bytes: int
    ) -> tuple[bytes, int]: ...

def scalars(
    kind: int,
    values: npt.NDArray[np.float64] | npt.NDArray[np.uint64],
    created: npt.NDArray[np.float64] | None = None,
    exemplars: npt.NDArray[np.uint8] | None = None,
) -> Metrics: ...
def histograms(
    bounds: Buffer,
    buckets: npt.NDArray[np.uint64],
    sums: npt.NDArray[np.float64],
    created: npt.NDArray[np.float64] | None = None,
    native: Native | None = None,
    exemplars: npt.NDArray[np.uint8] | None = None,
) -> Metrics: ...
