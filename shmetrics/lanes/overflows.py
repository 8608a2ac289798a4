# SPDX-License-Identifier: Apache-2.0
"""The metrics of a lane whose label sets overflow, and the quotas that leave no room for them.

Each series that overflows is counted once, logged, and told to the emitter.
"""

from __future__ import annotations

from collections.abc import Iterator

from shmetrics import layout
from shmetrics.lanes.lane_files import Owner
from shmetrics.lanes.lane_quota import Excess
from shmetrics.lanes.notices import Notices
from shmetrics.lanes.reading import Reading
from shmetrics.notices import Notice
from shmetrics.store.family import OVERFLOW, Family
from shmetrics.store.limits import Limits
from shmetrics.store.self_metrics import SelfMetrics

_REST = "further ones are counted as __overflow__"
_NO_ROOM = f"no room in its lane for more label values; {_REST}"
# An earlier collector has refused the larger lane, or no lane is large enough.
_TOO_MUCH = f"its label values are too many or too long for its lane; {_REST}"


class Overflows:
    """The overflows of one lane, one for each metric and quota.

    Attributes:
        excess: the quota that refuses the process a larger lane; None: none has, as far as this
            collector knows.
    """

    def __init__(
        self,
        owner: Owner,
        limits: Limits,
        reading: Reading,
        notices: Notices,
        self_metrics: SelfMetrics,
    ) -> None:
        """Begin without any.

        Args:
            owner: the process that the lane belongs to.
            limits: how much of its series is kept.
            reading: the reading of the lane's dictionary.
            notices: what its emitter is told.
            self_metrics: the counters of overflows and of exceeded quotas.
        """
        self.excess: Excess | None = None
        self._owner = owner
        self._limits = limits
        self._reading = reading
        self._notices = notices
        self._self_metrics = self_metrics
        self._by_quota: dict[tuple[str, str], Notice] = {}
        self._without_room: dict[str, None] = {}  # metrics, in their order

    def __iter__(self) -> Iterator[Notice]:
        """Iterate over them as notices."""
        yield from self._by_quota.values()
        yield from map(self._of_lane, self._without_room)

    def fold(self, family: Family, values: tuple[str, ...], is_within_quota: bool) -> None:
        """Count a series that is folded into the overflow series, once, and name the quota.

        Args:
            family: the family of the series.
            values: its label values.
            is_within_quota: whether the lane had no more series than it may have.
        """
        quota, text = self._quota_of(family, values, is_within_quota)
        is_state = family.definition.type in (layout.TYPE_GAUGE, layout.TYPE_OBSERVED)
        becomes = "not shown" if is_state else "counted as __overflow__"
        notice = Notice(
            family.definition.name,
            quota,
            f"{text}; further ones are {becomes}",
            f"see store.max_{quota.removeprefix('store_')} and [[labels]]",
        )
        is_new = self._by_quota.setdefault((notice.metric, notice.reason), notice) is notice
        if self._count(family):
            self._self_metrics.exceeded(quota).inc()
            if is_new:
                self._log(notice)
            self._notices.tell(notice)

    def note_lane(self, family: Family, values: tuple[str, ...]) -> None:
        """Name a metric if the emitter itself has no room for its label sets, and defines this.

        The emitter knows the quota by which it was refused a larger lane, and has logged it.
        """
        if values and set(values) == {OVERFLOW}:
            metric = family.definition.name
            self._without_room[metric] = None
            if self._count(family):
                self._log(self._of_lane(metric))

    def _quota_of(
        self, family: Family, values: tuple[str, ...], is_within_quota: bool
    ) -> tuple[str, str]:
        """Return the quota by which a series is folded: its name, and the cause in words."""
        limits = self._limits
        if not is_within_quota:
            return "series_per_lane", f"the process has {limits.series_per_lane} series"
        if not limits.allow(values):
            return "label_bytes", f"a label value of more than {limits.label_bytes} bytes"
        if family.has_reached_limit(self._owner.store_owner):
            return "series_per_family", f"one user has {limits.series_per_family} series of it"
        if family.is_full_for is None:
            return "store_bytes", "the store is full"
        return "store_bytes_per_uid", f"uid {self._owner.uid} has its share of the store"

    def _count(self, family: Family) -> bool:
        """Count the series at hand as one that overflows.

        Returns:
            False if an earlier collector has counted it.
        """
        name = family.definition.name
        if self._reading.is_again:
            self._self_metrics.overflow.labels(name).inc()
            return True
        return self._reading.count(self._self_metrics.overflow.cell(name))

    def _log(self, notice: Notice) -> None:
        """Log a metric whose label sets overflow."""
        self._self_metrics.rate_limited.warning(
            (notice.reason, notice.metric),
            f"{self._owner.text}: {repr(notice.metric)[1:-1]}: {notice.cause}; {notice.mend}",
            self._owner.uid,
        )

    def _of_lane(self, metric: str) -> Notice:
        if self.excess is None:
            mend = "see what the process itself logs, registration.max_lane_bytes and [[labels]]"
            return Notice(metric, "lane", _TOO_MUCH, mend)
        mend = f"see {self.excess.option} and [[labels]]"
        return Notice(metric, self.excess.quota, _NO_ROOM, mend)
