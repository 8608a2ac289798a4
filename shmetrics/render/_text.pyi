# SPDX-License-Identifier: Apache-2.0
import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

def text_number(value: float) -> bytes: ...
def text_count(value: int) -> bytes: ...
def text_escape(value: str) -> bytes: ...

class TextWriter:
    def __init__(self, capacity: int = 4096) -> None: ...
    def raw(self, text: bytes) -> None: ...
    def scalars(
        self,
        name: bytes,
        suffix: bytes,
        labels: Buffer,
        parts: Buffer,
        values: npt.NDArray[np.float64] | npt.NDArray[np.uint64],
        created: npt.NDArray[np.float64] | None = None,
        exemplars: npt.NDArray[np.uint8] | None = None,
        quoted: bool = False,
    ) -> None: ...
    def histograms(
        self,
        name: bytes,
        labels: Buffer,
        parts: Buffer,
        les: Buffer,
        offsets: Buffer,
        buckets: npt.NDArray[np.uint64],
        sums: npt.NDArray[np.float64] | None = None,
        created: npt.NDArray[np.float64] | None = None,
        exemplars: npt.NDArray[np.uint8] | None = None,
        quoted: bool = False,
    ) -> None: ...
    def finish(self) -> bytes: ...
