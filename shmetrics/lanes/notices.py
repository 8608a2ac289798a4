# SPDX-License-Identifier: Apache-2.0
"""The collector's end of a lane's notices: what its emitter is told, each thing once.

What is in the lane already was told by this collector or an earlier one. The emitter may change
that: then it is told twice, or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable

from shmetrics import layout
from shmetrics.lanes import _drain
from shmetrics.notices import Notice, decode_notices, encode_notice, shortened

_NO_ROOM = encode_notice(
    Notice("", "more", "there is more than a lane can tell", "see the collector's log")
)


class Notices:
    """The notices of one lane."""

    def __init__(self, drain: _drain.LaneDrain) -> None:
        """Read what the emitter has been told.

        Args:
            drain: the lane's drain.
        """
        raw = drain.notices()
        self._drain = drain
        self._room_bytes = layout.NOTICES_BYTES - len(raw) - len(_NO_ROOM)
        self._told: set[tuple[str, str]] = set()  # metric and reason of what is not over
        self._is_heard = not raw
        for notice in decode_notices(raw):
            self._note(notice)

    def _note(self, notice: Notice) -> None:
        key = notice.metric, notice.reason
        if notice.cause:
            self._told.add(key)
        else:
            self._told.discard(key)

    def tell(self, notice: Notice) -> None:
        """Tell the emitter what is wrong, or that it is over, unless it knows."""
        notice = shortened(notice)
        if ((notice.metric, notice.reason) in self._told) == bool(notice.cause):
            return
        self._note(notice)
        raw = encode_notice(notice)
        has_room = len(raw) <= self._room_bytes
        if not has_room and self._room_bytes < 0:
            return  # it has been told so
        self._room_bytes = self._room_bytes - len(raw) if has_room else -1
        if self._drain.tell(raw if has_room else _NO_ROOM):
            self._is_heard = False

    def keep(self, notices: Iterable[Notice]) -> None:
        """Tell the emitter that everything is over that it has been told, but these."""
        kept = {(notice.metric, notice.reason) for notice in map(shortened, notices)}
        for metric, reason in self._told - kept:
            if metric:  # not that there is more than the lane has room for
                self.tell(Notice(metric, reason))

    def follow(self, earlier: Notices) -> None:
        """Tell the emitter what is over with the lane that it has left."""
        for key in earlier._told - self._told:
            self._told.add(key)
            self.tell(Notice(*key))

    def look(self) -> None:
        """See whether the emitter has heard all; then it need not look any more."""
        if not self._is_heard:
            self._is_heard = self._drain.heard()
