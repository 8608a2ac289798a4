# SPDX-License-Identifier: Apache-2.0
"""The web configuration of the soak's collectors: one password, in a file that is rewritten."""

from __future__ import annotations

import base64
import os
import random
from collections.abc import Iterator
from pathlib import Path

import bcrypt

USER, PASSWORD = "soak", "of the soak"
AUTHORIZATION = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


class WebFile:
    """Says the same, however it is written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._hash = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
        path.write_text(self._text(0))

    def _text(self, number: int) -> str:
        return f"# version {number}\nbasic_auth_users:\n  {USER}: {self._hash}\n"

    def rewrite(self, rng: random.Random) -> Iterator[int]:
        """Writes it anew, in pieces or by another file in its place; how much is written by now."""
        text = self._text(rng.randrange(10**6)).encode()
        if rng.random() < 0.2:
            new = self.path.with_suffix(".new")
            new.write_bytes(text)
            new.replace(self.path)
            yield len(text)
            return
        cuts = sorted(rng.randrange(len(text)) for _ in range(rng.randrange(4)))
        with self.path.open("wb", buffering=0) as file:
            yield 0
            for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
                os.write(file.fileno(), text[start:end])
                yield end
