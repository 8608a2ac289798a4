# SPDX-License-Identifier: Apache-2.0
"""The reports of the server on its own work: an interface for counting it."""

from __future__ import annotations

from typing import Protocol


class Observer(Protocol):
    """An observer of the server, called for each event when it happens, in the loop's thread."""

    def refused(self, reason: str) -> None:
        """Note that a client got no answer or was cut off: a reason of shmetrics.http.refusals."""

    def reloaded(self, result: str) -> None:
        """Note that the web configuration file has changed: "taken" or "refused"."""


class NullObserver:
    """An observer that ignores all events."""

    def refused(self, reason: str) -> None:
        pass

    def reloaded(self, result: str) -> None:
        pass
