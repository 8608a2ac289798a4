# SPDX-License-Identifier: Apache-2.0
import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

class Line:
    def __init__(
        self,
        before: bytes,
        middle: bytes,
        after: bytes,
        end: bytes,
        labels_last: bool = False,
        is_binary: bool = False,
    ) -> None: ...

def write(
    line: Line,
    labels: Buffer,
    ends: Buffer,
    values: npt.NDArray[np.float64] | npt.NDArray[np.uint64],
    rows: npt.NDArray[np.uint64] | None,
    start: int,
    most_bytes: int,
) -> tuple[bytes, int]: ...
def datagrams(text: bytes, most_bytes: int) -> list[tuple[bytes, int]]: ...
