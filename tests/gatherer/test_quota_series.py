# SPDX-License-Identifier: Apache-2.0
"""Promise: a unit's quota is shown while it has one, and what is not there is said once.

No file system of this machine has quotas: a table stands in for the kernel, but for its answer to
whether there are any.
"""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

import pytest

from shmetrics.gatherer.quota_series import QuotaSeries
from shmetrics.units.quota import KernelQuotas, Usage, parse
from shmetrics.units.unit import Unit
from tests.nodes.loopback import Loopback

NO_DEVICE = (4000, 1)  # which has no name


class Table:
    """Quotas by uid; one that is a number fails with this errno."""

    def __init__(self) -> None:
        self.known: dict[int, Usage | int] = {}

    def of(self, directory: str, uid: int) -> Usage:
        found = self.known[uid]
        if isinstance(found, int):
            raise OSError(found, os.strerror(found))
        return found


@pytest.fixture
def table() -> Table:
    return Table()


def unit(uid: int, name: str = "gear1") -> Unit:
    return Unit("gear", name, f"/openshift/{name}", 1, uid=uid, home=f"/gears/{name}")


def shown(loopback: Loopback, path: str) -> dict[str, float]:
    """Return the values of one unit, by name."""
    loopback.collector.tick()
    return {
        name.removeprefix("container_fs_"): value
        for (name, labels), value in loopback.samples().items()
        if name.startswith("container_fs_") and dict(labels)["id"] == path
    }


def test_a_quota_is_shown(loopback: Loopback, table: Table) -> None:
    table.known[7] = Usage(NO_DEVICE, 4096, 1 << 20, 30, 100)
    one = unit(7)
    QuotaSeries(table).record({one.id: one})
    assert shown(loopback, one.id) == {
        "usage_bytes": 4096,
        "limit_bytes": 1 << 20,
        "inodes_total": 100,
        "inodes_free": 70,
    }


def test_a_limit_comes_and_goes_and_so_does_the_unit(loopback: Loopback, table: Table) -> None:
    one = unit(8, "gear2")
    series = QuotaSeries(table)
    table.known[8] = Usage(NO_DEVICE, 5, 100, 9, 5)
    series.record({one.id: one})
    assert shown(loopback, one.id)["inodes_free"] == 0
    table.known[8] = Usage(NO_DEVICE, 6, 0, 9, 0)
    series.record({one.id: one})
    assert shown(loopback, one.id) == {"usage_bytes": 6}
    series.record({})
    assert shown(loopback, one.id) == {}


def test_a_unit_without_a_user_is_not_asked_for(loopback: Loopback, table: Table) -> None:
    other = Unit("systemd", "a.service", "/a.service", 1)
    QuotaSeries(table).record({other.id: other})  # the table would fail


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (errno.ENOSYS, "this kernel has none"),
        (errno.ESRCH, "none are switched on"),
        (errno.EPERM, "not ours to read"),
        (errno.ENOENT, "No such file or directory"),
    ],
)
def test_what_is_not_there_is_said_once(
    loopback: Loopback, table: Table, number: int, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    table.known = {9: number, 10: number}
    units = {each.id: each for each in (unit(9, "gear3"), unit(10, "gear4"))}
    series = QuotaSeries(table)
    with caplog.at_level(logging.WARNING):
        series.record(units)
        series.record(units)
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith("no disk quota of gear3, in /gears/gear3: ")
    assert why in line


def test_a_hard_limit_counts_before_a_soft_one() -> None:
    def block(*numbers: int) -> bytes:
        return b"".join(n.to_bytes(8, "little") for n in numbers) + bytes(24)

    hard = parse(block(1024, 512, 920 * 1024, 100, 50, 7), NO_DEVICE)
    assert hard == Usage(NO_DEVICE, 920 * 1024, 1 << 20, 7, 100)
    soft = parse(block(0, 512, 0, 0, 50, 7), NO_DEVICE)
    assert (soft.limit_bytes, soft.inodes_limit) == (512 * 1024, 50)


def test_this_kernel_answers(tmp_path: Path) -> None:
    """Ask the real one, which has quotas, or says in one of three ways that it has none."""
    try:
        usage = KernelQuotas().of(str(tmp_path), os.getuid())
    except OSError as error:
        assert error.errno in (errno.ENOSYS, errno.ESRCH, errno.EPERM, errno.EOPNOTSUPP)
    else:
        assert usage.used_bytes >= 0


def test_a_home_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        KernelQuotas().of(str(tmp_path / "gone"), 0)
