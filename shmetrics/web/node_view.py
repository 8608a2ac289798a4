# SPDX-License-Identifier: Apache-2.0
"""What the web needs of a collector."""

from __future__ import annotations

from typing import Protocol

from shmetrics.tables.table import Table


class NodeView(Protocol):
    """Answers are as of the call: everything recorded before it is in them."""

    def drain(self) -> None: ...
    def tables(self, native: bool = False) -> list[Table]: ...  # with native buckets
    def lanes(self) -> list[dict[str, object]]: ...
    def calls(self) -> list[dict[str, object]]: ...
    def healthy(self) -> tuple[bool, str]: ...
    def ready(self) -> tuple[bool, str]: ...
