# SPDX-License-Identifier: Apache-2.0
"""The definitions of a lane that are not taken: counted once, logged, and told to the emitter."""

from __future__ import annotations

from collections.abc import Iterator

from shmetrics.definitions import Refusal
from shmetrics.lanes.lane_files import Owner
from shmetrics.lanes.notices import Notices
from shmetrics.lanes.reading import Reading
from shmetrics.notices import Notice
from shmetrics.store.self_metrics import SelfMetrics

# The reasons of a refusal that are quotas. Each quota is logged once per lane.
_QUOTAS = ("families", "families_per_lane", "families_per_uid", "store_bytes_per_uid")


class Refusals:
    """The refusals of one lane.

    Attributes:
        by_reason: the number of definitions that are not taken, by reason.
    """

    def __init__(
        self, owner: Owner, reading: Reading, notices: Notices, self_metrics: SelfMetrics
    ) -> None:
        """Begin without any.

        Args:
            owner: the process that the lane belongs to.
            reading: the reading of the lane's dictionary.
            notices: what its emitter is told.
            self_metrics: the counters of refusals and of exceeded quotas.
        """
        self.by_reason: dict[str, int] = {}
        self._owner = owner
        self._reading = reading
        self._notices = notices
        self._self_metrics = self_metrics
        self._told: dict[tuple[str, str], Notice] = {}  # by metric and reason

    def __iter__(self) -> Iterator[Notice]:
        """Iterate over them as notices, each metric and reason once."""
        return iter(self._told.values())

    def refuse(self, name: str, refusal: Refusal) -> None:
        """Count a definition that is not taken, once, log it, and note it."""
        self.note(name, refusal)
        if (
            self._reading.count(self._self_metrics.refused.cell(refusal.reason))
            and refusal.reason in _QUOTAS
        ):
            self._self_metrics.exceeded(refusal.reason).inc()
        if self.by_reason[refusal.reason] == 1 or refusal.reason not in _QUOTAS:
            kind = refusal.reason, refusal.text
            text = f"{self._owner.text}: refused: {refusal.text}; {refusal.mend}"
            self._self_metrics.rate_limited.warning(kind, text, self._owner.uid)

    def note(self, name: str, refusal: Refusal) -> None:
        """Note a definition that is not taken, for the emitter and for people."""
        self.by_reason[refusal.reason] = self.by_reason.get(refusal.reason, 0) + 1
        cause = refusal.text.removeprefix(f"{repr(name)[1:-1]}: ")
        notice = Notice(name, refusal.reason, f"refused: {cause}", refusal.mend)
        self._told.setdefault((name, refusal.reason), notice)
        self._notices.tell(notice)

    def forget(self, name: str, refusal: Refusal) -> None:
        """Undo note(), but tell nobody: see tell_if_over()."""
        self.by_reason[refusal.reason] -= 1
        if not self.by_reason[refusal.reason]:
            del self.by_reason[refusal.reason]
        self._told.pop((name, refusal.reason), None)

    def tell_if_over(self, name: str, refusal: Refusal) -> None:
        """Tell the emitter that a refusal is over, unless it has been noted again."""
        if (name, refusal.reason) not in self._told:
            self._notices.tell(Notice(name, refusal.reason))
