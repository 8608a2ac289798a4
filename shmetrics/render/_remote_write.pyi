# SPDX-License-Identifier: Apache-2.0
import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

from shmetrics.tables.table import Native

class Family:
    def __init__(
        self,
        name: bytes,
        le: bytes,
        labels: Buffer,
        parts: Buffer,
        n_rows: int,
        stamp_ms: int,
        exemplars: npt.NDArray[np.uint8] | None = None,
        metadata: bytes | None = None,
        created: npt.NDArray[np.float64] | None = None,
    ) -> None: ...
    def samples(
        self,
        values: npt.NDArray[np.float64] | npt.NDArray[np.uint64],
        bucket: int,
        start: int,
        most_bytes: int,
    ) -> tuple[bytes, int]: ...
    def histograms(
        self, native: Native, sums: npt.NDArray[np.float64], start: int, most_bytes: int
    ) -> tuple[bytes, int]: ...
