# SPDX-License-Identifier: Apache-2.0
"""The core's sources that belong together."""

from pathlib import Path

CSRC = Path(__file__).resolve().parents[2] / "csrc"

# The collector's side of a lane that its emitter does not cut short.
DRAIN = tuple(
    CSRC / f"{part}.c"
    for part in ("drain/drain", "drain/totals", "drain/entries", "drain/scale", "drain/state")
)
