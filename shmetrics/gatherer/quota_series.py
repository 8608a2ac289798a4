# SPDX-License-Identifier: Apache-2.0
"""The series of disk quotas, of units that have a user and a home."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator, Mapping
from typing import Final

from shmetrics import Gauge
from shmetrics.gatherer.instruments import LABELS, labels_of
from shmetrics.units.device_names import name_of
from shmetrics.units.quota import Quotas, Usage
from shmetrics.units.unit import Unit

log = logging.getLogger(__name__)

_BLOCK_BYTES: Final = 1024

_NAMES: Final = {
    "container_fs_usage_bytes": "Bytes that its user has on the file system of its home",
    "container_fs_limit_bytes": "Most bytes that it may have there",
    "container_fs_inodes_total": "Most files that it may have there",
    "container_fs_inodes_free": "Files that it may still make there",
}

# What is said once, for it will not be otherwise while this process runs.
_REASONS: Final = {
    errno.ENOSYS: "this kernel has none",
    errno.ESRCH: "none are switched on; mount with usrquota or prjquota, and see quotaon(8)",
    errno.EPERM: "they are not ours to read: that takes CAP_SYS_ADMIN",
}


class QuotaSeries:
    """The series of the quotas of all units."""

    part = "quota"

    def __init__(self, quotas: Quotas) -> None:
        """Begin without a unit.

        Args:
            quotas: what knows them.
        """
        self._quotas = quotas
        self._gauges = {
            name: Gauge(name, help, (*LABELS, "device"), multiprocess_mode="livemax")
            for name, help in _NAMES.items()
        }
        self._shown: dict[str, dict[tuple[str, ...], set[str]]] = {}  # by id: labels, and families
        self._usage: dict[str, Usage] = {}
        self._said: set[int] = set()

    def record(self, units: Mapping[str, Unit]) -> None:
        """Ask for the quota of each unit that has a user and a home."""
        shown: dict[str, dict[tuple[str, ...], set[str]]] = {}
        self._usage.clear()
        for path, unit in units.items():
            if unit.uid is None or not unit.home:
                continue
            found = self._values(unit)
            if found is None:
                continue
            labels, values = found
            for name, value in values.items():
                self._gauges[name].labels(*labels).set(value)
            shown[path] = {labels: set(values)}
        for path, by_labels in self._shown.items():
            for labels, names in by_labels.items():
                for name in names - shown.get(path, {}).get(labels, set()):
                    self._gauges[name].remove(*labels)
        self._shown = shown

    def numbers(self, id: str) -> Iterator[tuple[str, float]]:
        """Yield the quota of a unit under OpenShift's names; blocks are of 1024 bytes."""
        usage = self._usage.get(id)
        if usage is not None:
            yield "quota.blocks.used", usage.used_bytes // _BLOCK_BYTES
            yield "quota.blocks.limit", usage.limit_bytes // _BLOCK_BYTES
            yield "quota.files.used", usage.inodes
            yield "quota.files.limit", usage.inodes_limit

    def _values(self, unit: Unit) -> tuple[tuple[str, ...], dict[str, float]] | None:
        """Return the labels and values of a unit, None if it has none."""
        assert unit.uid is not None
        assert unit.home is not None
        try:
            usage = self._quotas.of(unit.home, unit.uid)
        except OSError as error:
            self._say(error, unit)
            return None
        self._usage[unit.id] = usage
        values: dict[str, float] = {"container_fs_usage_bytes": usage.used_bytes}
        if usage.limit_bytes:
            values["container_fs_limit_bytes"] = usage.limit_bytes
        if usage.inodes_limit:
            values["container_fs_inodes_total"] = usage.inodes_limit
            values["container_fs_inodes_free"] = max(usage.inodes_limit - usage.inodes, 0)
        return (*labels_of(unit), name_of(*usage.device)), values

    def _say(self, error: OSError, unit: Unit) -> None:
        """Say once of each kind of failure that there are no quotas, and why."""
        number = error.errno or 0
        if number not in self._said:
            self._said.add(number)
            why = _REASONS.get(number, error.strerror)
            log.warning("no disk quota of %s, in %s: %s", unit.name, unit.home, why)
