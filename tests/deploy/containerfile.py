# SPDX-License-Identifier: Apache-2.0
"""A Containerfile, read: its steps, and which stage each is of.

The format: https://github.com/containers/common/blob/main/docs/Containerfile.5.md, as far as ours
goes.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Step", "steps"]

_STEP = re.compile(r"(FROM|RUN|COPY|ENV|USER|VOLUME|EXPOSE|ENTRYPOINT|CMD) (.+)", re.DOTALL)


class Step(NamedTuple):
    """One instruction. Stages are numbered from 0."""

    stage: int
    name: str
    arguments: str


def steps(text: str) -> list[Step]:
    """Return the steps of a file. Raises ValueError if there is anything else in it."""
    found: list[Step] = []
    stage = -1
    without_comments = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)
    for line in without_comments.replace("\\\n", " ").splitlines():
        if not line.strip():
            continue
        step = _STEP.fullmatch(line.strip())
        if step is None:
            raise ValueError(f"what is {line!r}?")
        stage += step[1] == "FROM"
        found.append(Step(stage, step[1], " ".join(step[2].split())))
    return found
