# SPDX-License-Identifier: Apache-2.0
import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

from shmetrics.tables.table import Native

class Points:
    def __init__(
        self,
        attributes: Buffer,
        ends: Buffer,
        n_rows: int,
        time_ns: int,
        created: npt.NDArray[np.float64] | None = None,
        exemplars: npt.NDArray[np.uint8] | None = None,
    ) -> None: ...
    def numbers(
        self,
        values: npt.NDArray[np.float64] | npt.NDArray[np.uint64],
        start: int,
        most_bytes: int,
    ) -> tuple[bytes, int]: ...
    def bounded(
        self,
        bounds: Buffer,
        buckets: npt.NDArray[np.uint64],
        sums: npt.NDArray[np.float64] | None,
        start: int,
        most_bytes: int,
    ) -> tuple[bytes, int]: ...
    def exponential(
        self, native: Native, sums: npt.NDArray[np.float64] | None, start: int, most_bytes: int
    ) -> tuple[bytes, int]: ...
